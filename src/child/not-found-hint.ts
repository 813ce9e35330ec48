import { findUnexpanded } from '../text/fixed-name.js';

/** Shell builtins and keywords. */
const SHELL_WORDS = new Set(
  [
    '. : ! [[ { ( (( alias bg bind break builtin case cd command continue declare dirs disown do enable eval exec',
    'exit export fc fg for function getopts hash history if jobs let local logout popd pushd read readonly return',
    'select set setopt shift shopt source suspend time times trap type typeset ulimit umask unalias unset until',
    'wait while',
  ]
    .join(' ')
    .split(' '),
);

/**
 * A hint for a command that was not found, from its form; undefined when there is none. No shell reads the command, so
 * shell syntax does not work in it. The hint repeats nothing that may be a secret.
 */
export function hintForForm(command: string): string | undefined {
  if (command === '') return 'Is it a variable that is empty or unset?';
  if (/\s/.test(command)) {
    return "It is one argument with blanks in it. Remove the quotes (-- knex migrate:latest), or use a shell: sh -c '...'";
  }
  const variable = /^([A-Za-z_]\w*)\+?=/.exec(command)?.[1];
  if (variable !== undefined) {
    return `To set a variable for the command, put env in front of it: env ${variable}=... knex migrate:latest`;
  }
  if (SHELL_WORDS.has(command))
    return `${command} is a shell builtin. Run it with a shell: sh -c '${command} ...'`;
  if (findUnexpanded(command) !== undefined) {
    return "The variable in it was not expanded. No shell reads the command, unless you use one: sh -c '...'";
  }
  if (/^[A-Za-z]:[\\/]|\\/.test(command)) return 'It looks like a Windows path. Write it with /.';
  if (/\.(?:exe|cmd|bat|ps1)$/i.test(command))
    return 'It is the name of a Windows program. Here it probably has no such ending.';
  if (/[;&|<>]/.test(command))
    return "It contains a shell operator. No shell reads the command, unless you use one: sh -c '...'";
  if (command.startsWith('~'))
    return 'Only a shell expands ~, and only outside quotes. Write the full path, or "$HOME/...".';
  if (command.startsWith('-')) return 'Options of migrate-lock come before --, the command after it.';
  return undefined;
}
