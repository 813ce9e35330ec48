import { findUnexpanded } from '../text/fixed-name.js';

/** What is no program but a part of every shell, or a word of its language. */
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
 * What the person who wrote this command may have meant; undefined when nothing can be told. No shell reads the command, so
 * nothing of a shell's language works in it. What may hold a secret is not repeated.
 */
export function hintForForm(command: string): string | undefined {
  if (command === '') return 'Is it a variable that is empty or unset?';
  if (/\s/.test(command)) {
    return "It is one word with blanks in it: leave out the quotes (-- knex migrate:latest), or let a shell read it: sh -c '...'";
  }
  const variable = /^([A-Za-z_]\w*)\+?=/.exec(command)?.[1];
  if (variable !== undefined) {
    return `To set a variable for the command, put env in front of it: env ${variable}=... knex migrate:latest`;
  }
  if (SHELL_WORDS.has(command))
    return `${command} is a part of a shell: let one run it: sh -c '${command} ...'`;
  if (findUnexpanded(command) !== undefined) {
    return "Nobody has expanded the variable in it: no shell reads the command, unless you give one: sh -c '...'";
  }
  if (/^[A-Za-z]:[\\/]|\\|\.(?:exe|cmd|bat|ps1)$/i.test(command)) {
    return 'It looks like a path of Windows: write it as this system has it, with /.';
  }
  if (command.startsWith('~'))
    return 'Only a shell expands ~, outside of quotes: write the whole path, or "$HOME/...".';
  if (command.startsWith('-')) return 'Options of migrate-lock stand before --, the command after it.';
  return undefined;
}
