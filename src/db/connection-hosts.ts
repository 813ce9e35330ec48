import { UsageError } from '../errors.js';
import { filled } from './connection-url.js';
import type { Address } from './socket.js';

/** Hosts, their addresses and ports as libpq pairs them: one port for each host, or one for all. */
export function pairHosts(hosts: string[] | undefined, ports: string[], addresses?: string[]): Address[] {
  const names = hosts ?? addresses ?? ['localhost'];
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
    const port = filled(ports.length === 1 ? ports[0] : ports[index]) ?? '5432';
    if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535) {
      throw new UsageError(
        'The port of the database is not a number from 1 to 65535.',
        'The usual port is 5432.',
      );
    }
    const hostaddr = filled(addresses?.[index]);
    return {
      host: filled(host) ?? hostaddr ?? 'localhost',
      port: Number(port),
      ...(hostaddr === undefined ? {} : { hostaddr }),
    };
  });
}

/** A lock is only ever taken on the primary: to ask for a replica is a mistake that has to be told. */
export function checkSessionAttributes(wanted: string | undefined): void {
  if (wanted === undefined || ['any', 'read-write', 'primary'].includes(wanted)) return;
  throw new UsageError(
    ['read-only', 'standby', 'prefer-standby'].includes(wanted)
      ? `target_session_attrs=${wanted} asks for a replica, and a lock can only be taken on the primary.`
      : 'target_session_attrs (or PGTARGETSESSIONATTRS) has a value that PostgreSQL does not know.',
    'Write read-write, or leave it out: of several hosts, the one that takes writes is used.',
  );
}

export function describeAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
