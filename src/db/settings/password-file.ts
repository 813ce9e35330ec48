import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { DEFAULT_SOCKET_FOLDERS } from './connection-hosts.js';
import type { Address } from '../socket.js';

export interface PasswordFile {
  path: string;
  /** The reason why it is not used; null: it is used. */
  unusable: string | null;
  passwordFor: (address: Address, database: string, user: string) => string | undefined;
}

/**
 * Reads a password file as libpq does: https://www.postgresql.org/docs/current/libpq-pgpass.html
 * @returns null when there is none. One that others may read is not used.
 */
export function readPasswordFile(path: string): PasswordFile | null {
  const none = { path, passwordFor: () => undefined };
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, 'r');
    const stats = fstatSync(descriptor);
    if (!stats.isFile()) return { ...none, unusable: 'it is not a plain file' };
    if ((stats.mode & 0o077) !== 0) return { ...none, unusable: 'others may read it; chmod 600 is needed' };
    const lines = readFileSync(descriptor, 'utf8').split(/\r?\n/);
    return {
      path,
      unusable: null,
      passwordFor: ({ host, port }, database, user) => {
        // As libpq: its default folder counts as localhost.
        const name = DEFAULT_SOCKET_FOLDERS.some((folder) => folder === host) ? 'localhost' : host;
        return firstMatch(lines, [name, String(port), database, user]);
      },
    };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    return { ...none, unusable: 'it cannot be read' };
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function firstMatch(lines: readonly string[], wanted: readonly string[]): string | undefined {
  for (const line of lines) {
    if (line.startsWith('#')) continue;
    // A backslash escapes the next character; text after a fifth field is ignored.
    const fields = [...line.matchAll(/((?:\\.|[^:\\]|\\$)*)(?::|$)/g)].map(([, field = '']) => field);
    const [password = ''] = fields.slice(wanted.length);
    const matches = wanted.every((text, at) => fields[at] === '*' || unescape(fields[at] ?? '') === text);
    if (matches && password !== '') return unescape(password);
  }
  return undefined;
}

function unescape(field: string): string {
  return field.replaceAll(/\\(.)/g, '$1');
}
