import { accessSync, constants, readFileSync } from 'node:fs';

/** How a command is started: the file, its argv[0], and the other arguments. */
export interface Start {
  file: string;
  command: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
}

const SHELL = '/bin/sh';
/** Variables that a shell exports although it did not get them. */
const SET_BY_SHELLS = ['PWD', 'OLDPWD', 'SHLVL', 'PATH'];

/**
 * Starts the command with the soft limit of open files that this process had before Node raised it, through a shell, as Node
 * cannot set a limit. The same start where that limit is not known, or where a shell would change the environment.
 */
export function withOpenFilesLimit(start: Start): Start {
  const limit = limitBefore();
  const { file, command, args, env } = start;
  const names = Object.keys(env);
  if (limit === null || !canExecute(SHELL) || !names.every((name) => /^[A-Za-z_]\w*$/.test(name)))
    return start;
  const added = SET_BY_SHELLS.filter((name) => !names.includes(name));
  const unset = added.length === 0 ? '' : `unset ${added.join(' ')}; `;
  // A shell finds the command as we did, and keeps the argv[0] that was typed.
  const found = env.PATH === undefined ? file : command;
  return {
    file: SHELL,
    command: 'sh',
    args: ['-c', `ulimit -S -n "$1"; shift; ${unset}exec "$@"`, 'sh', String(limit), found, ...args],
    env,
  };
}

/**
 * Node keeps no record of it. The limit of the parent process is what we had, unless it was changed for us alone, which a
 * different hard limit mostly shows. null: not known (the first process of a container has no parent), or not changed.
 */
function limitBefore(): number | null {
  const [ours, before] = [openFiles('self'), openFiles(String(process.ppid))];
  if (ours === null || before === null) return null;
  const isRaised = ours.soft === ours.hard && before.hard === ours.hard && before.soft < ours.soft;
  return isRaised ? before.soft : null;
}

function openFiles(pid: string): { soft: number; hard: number } | null {
  try {
    const limits = readFileSync(`/proc/${pid}/limits`, 'latin1');
    const [, soft, hard] = /^Max open files +(\d+) +(\d+)/m.exec(limits) ?? [];
    return soft === undefined ? null : { soft: Number(soft), hard: Number(hard) };
  } catch {
    return null;
  }
}

function canExecute(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
