/**
 * Contains the socket paths of all enclosing runs, innermost first, separated by colons. The path of a run without a socket
 * is empty.
 */
export const SOCKET_VARIABLE = 'MIGRATE_LOCK_SOCKET';
export const SEPARATOR = ':';

export function readSocketList(env: NodeJS.ProcessEnv): string[] {
  const list = env[SOCKET_VARIABLE];
  return list === undefined || list === '' ? [] : list.split(SEPARATOR);
}

/** The list for this run's command; undefined: no run has a socket. */
export function writeSocketList(own: string | undefined, outer: readonly string[]): string | undefined {
  const list = [own ?? '', ...outer];
  return list.every((path) => path === '') ? undefined : list.join(SEPARATOR);
}
