/**
 * Names the sockets of all runs that a process is inside of, innermost first, separated by colons. The place of one that has
 * no socket is empty.
 */
export const SOCKET_VARIABLE = 'MIGRATE_LOCK_SOCKET';
export const SEPARATOR = ':';

export function readSocketList(env: NodeJS.ProcessEnv): string[] {
  const list = env[SOCKET_VARIABLE];
  return list === undefined || list === '' ? [] : list.split(SEPARATOR);
}

/** The list for the command of one more run; undefined: there is no socket at all. */
export function writeSocketList(own: string | undefined, outer: readonly string[]): string | undefined {
  const list = [own ?? '', ...outer];
  return list.every((path) => path === '') ? undefined : list.join(SEPARATOR);
}
