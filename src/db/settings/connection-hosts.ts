import { statSync } from 'node:fs';
import { UsageError } from '../../errors.js';
import { filled } from './connection-url.js';
import type { Address } from '../socket.js';

/** The socket folders of libpq, as built by Debian and Red Hat, and from PostgreSQL's own sources. */
export const DEFAULT_SOCKET_FOLDERS = ['/var/run/postgresql', '/tmp'] as const;

/**
 * The host when none is named. A libpq knows one folder, the one it was built with; here it is the first folder with a
 * socket of this port. Without one, it is localhost over TCP.
 */
function defaultHost(port: number, isSocket: (path: string) => boolean): string {
  return DEFAULT_SOCKET_FOLDERS.find((folder) => isSocket(`${folder}/.s.PGSQL.${port}`)) ?? 'localhost';
}

export function isSocket(path: string): boolean {
  try {
    return statSync(path).isSocket();
  } catch {
    return false;
  }
}

export interface GivenHosts {
  hosts: string[] | undefined;
  ports: string[];
  addresses: string[] | undefined;
  isSocket: (path: string) => boolean;
}

/** Hosts, their addresses and ports as libpq pairs them: one port for each host, or one for all. */
export function pairHosts({ hosts, ports, addresses, isSocket }: GivenHosts): Address[] {
  const names = hosts ?? addresses ?? [''];
  if (addresses !== undefined && addresses.length !== names.length) {
    throw new UsageError(
      `There are ${names.length} hosts for the database, and ${addresses.length} addresses (hostaddr).`,
      'Give one address for each host.',
    );
  }
  if (ports.length > 1 && ports.length !== names.length) {
    throw new UsageError(
      `There are ${names.length} hosts for the database, and ${ports.length} ports.`,
      'Give one port for each host, or one for all.',
    );
  }
  return names.map((host, index) => {
    const given = filled(ports.length === 1 ? ports[0] : ports[index]) ?? '5432';
    if (!/^\d{1,5}$/.test(given) || Number(given) < 1 || Number(given) > 65_535) {
      throw new UsageError(
        'The port of the database is not a number from 1 to 65535.',
        'The usual port is 5432.',
      );
    }
    const port = Number(given);
    checkHost(host);
    const hostaddr = filled(addresses?.[index]);
    return {
      host: filled(host) ?? hostaddr ?? defaultHost(port, isSocket),
      port,
      ...(hostaddr === undefined ? {} : { hostaddr }),
    };
  });
}

/** What can be neither a name nor an address is not looked up. A path is the folder of a socket. */
function checkHost(host: string): void {
  const hasPort = /^[^:]*:\d*$|^\[/.test(host);
  if (host === '' || host.startsWith('/') || (/^[\p{L}\p{M}\p{N}._:%-]+$/u.test(host) && !hasPort)) return;
  throw new UsageError(
    'The host of the database is neither a name nor an address.',
    hasPort
      ? 'Give the port apart from it (PGPORT, or port in the URL), and an IPv6 address without brackets.'
      : 'Write it without blanks and quotation marks. The folder of a socket begins with /.',
  );
}

export function describeAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
