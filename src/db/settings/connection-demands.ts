import { UsageError } from '../../errors.js';
import type { ConnectionSettings } from './connection-settings.js';

/**
 * Parameters of libpq that are not supported, or are only for a replica: ignoring them would break what they promise.
 */
interface Demand {
  parameter: string;
  /** Values that demand nothing. */
  fine: readonly string[];
  problem: string;
  hint: string;
  /** Only over a Unix socket. */
  overSocket?: true;
}

const NO_GSS =
  'Leave it out: a password, a certificate, or a socket of the same machine is what migrate-lock can use.';
const REPLICA = 'a lock can only be taken on the primary';
const DEMANDS: readonly Demand[] = [
  {
    parameter: 'gssencmode',
    fine: ['disable', 'prefer'],
    problem: 'asks for GSSAPI encryption, which is not supported',
    hint: 'Leave it out, and use TLS: sslmode=verify-full.',
  },
  {
    parameter: 'requirepeer',
    fine: [],
    problem: "demands an owner of the server's process, which is not supported over a Unix socket",
    hint: 'Leave it out where the folder of the socket is protected, or connect over TCP with sslmode=verify-full.',
    overSocket: true,
  },
  {
    parameter: 'sslcertmode',
    fine: ['disable', 'allow'],
    problem: 'demands that the server requests a client certificate, which is not supported',
    hint: 'Leave it out: the certificate is shown to a server that asks for it.',
  },
  {
    parameter: 'replication',
    fine: ['false', 'off', 'no', '0'],
    problem: `asks for a replication connection, and ${REPLICA} with an ordinary one`,
    hint: 'Leave it out.',
  },
  {
    parameter: 'target_session_attrs',
    fine: ['any', 'read-write', 'primary'],
    problem: `asks for a replica, or for something that PostgreSQL does not know, and ${REPLICA}`,
    hint: 'Write read-write, or leave it out: of several hosts, the one that takes writes is used.',
  },
  {
    parameter: 'targetservertype',
    fine: ['any', 'primary', 'master', 'preferPrimary'],
    problem: `asks for a replica, and ${REPLICA}`,
    hint: 'Write primary, or leave it out: of several hosts, the one that takes writes is used.',
  },
  {
    parameter: 'load_balance_hosts',
    fine: ['disable', 'random'],
    problem: 'has a value that PostgreSQL does not know',
    hint: 'Leave it out: of several hosts, the one that takes writes is used.',
  },
  {
    parameter: 'min_protocol_version',
    fine: ['3.0'],
    problem: "asks for a version of PostgreSQL's protocol that is not supported",
    hint: 'Leave it out: 3.0 is what migrate-lock speaks.',
  },
  ...['scram_client_key', 'scram_server_key'].map((parameter) => ({
    parameter,
    fine: [],
    problem: 'is a key in place of a password, which is not supported',
    hint: 'Give the password, or a certificate (sslcert, sslkey).',
  })),
  ...['oauth_issuer', 'oauth_client_id', 'oauth_client_secret', 'oauth_scope'].map((parameter) => ({
    parameter,
    fine: [],
    problem: 'asks for OAuth, which is not supported',
    hint: NO_GSS,
  })),
];

/** @throws {UsageError} which names the setting, and repeats no value. */
export function checkDemands({ get, nameOf, layerOf }: ConnectionSettings, usesSocket: boolean): void {
  for (const { parameter, fine, problem, hint, overSocket } of DEMANDS) {
    const value = get(parameter);
    if (value === undefined || fine.includes(value) || (overSocket === true && !usesSocket)) continue;
    const name = layerOf(parameter) === 'env' ? `${nameOf(parameter)} (${parameter})` : nameOf(parameter);
    throw new UsageError(`${name} ${problem}.`, hint);
  }
}

/** As libpq: seconds, where 0 and less mean no limit, and 1 means 2. */
export function readConnectTimeoutMs({ get, nameOf }: ConnectionSettings): number | undefined {
  const given = get('connect_timeout')?.trim();
  if (given === undefined) return undefined;
  if (!/^[+-]?\d{1,7}$/.test(given)) {
    throw new UsageError(
      `${nameOf('connect_timeout')} is not a whole number of seconds.`,
      'Write for example 10, or 0 for no limit of its own.',
    );
  }
  const seconds = Number(given);
  return seconds <= 0 ? undefined : Math.max(2, seconds) * 1000;
}
