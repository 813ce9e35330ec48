import { codeOfPooler, STATEMENT_POOLING } from './pooler-errors.js';
import { isFatal } from './server-error.js';

/**
 * What an error of the database, the driver or the network means for us. One table: a SQLSTATE, a SQLSTATE's class,
 * a Node error code, or a code of postgres.js (https://github.com/porsager/postgres#error-handling).
 *
 *   unavailable  not up yet, no connection available, or the connection was lost: try again later
 *   contention   a conflict with another transaction: try again at once
 *   settings     this session has settings under which the call cannot be made
 *   absent       the lock schema is not there
 *   denied       the role lacks a right
 *   local        something on this machine is not as the settings say
 *   usage        the caller asks for more than the lock's owner allows, or the database can store
 *   refused      the database refused the connection: a retry does not help
 *   fault        anything else
 */
export type ErrorKind =
  'unavailable' | 'contention' | 'settings' | 'absent' | 'denied' | 'local' | 'usage' | 'refused' | 'fault';

/** A call was not answered within its time limit. */
export const CALL_TIMEOUT = 'CALL_TIMEOUT';
/** TLS is required and not available. */
export const TLS_REFUSED = 'TLS_REFUSED';
/** Objects in the lock schema may belong to another role: none of them is called. */
export const UNTRUSTED_SCHEMA = 'SCHEMA_NOT_TRUSTED';
/** SQLSTATE: no such schema. */
export const ABSENT_SCHEMA = '3F000';
/** SQLSTATE: no such function. */
export const ABSENT_FUNCTION = '42883';
/** SQLSTATE: the database's encoding does not have a character. */
export const NOT_STORABLE = '22P05';
/** The server asks for less than was demanded, for more than is supported, or has not proved its identity. */
export const AUTHENTICATION_REFUSED = 'AUTHENTICATION_REFUSED';
/** The server sent an invalid message, or one that is too long. */
export const PROTOCOL_VIOLATION = 'PROTOCOL_VIOLATION';
/** A function of the lock schema returned an invalid answer. */
export const INVALID_ANSWER = 'INVALID_ANSWER';
/** The server's certificate could not be verified. */
export const TLS_UNTRUSTED = 'TLS_UNTRUSTED';
/** sslmode=verify-ca, and nothing to verify the server's certificate with. */
export const NO_ROOT_CERTIFICATE = 'NO_ROOT_CERTIFICATE';
/** The server on the port does not speak PostgreSQL's protocol. */
export const NOT_POSTGRESQL = 'NOT_POSTGRESQL';
/** A pooler does not accept the start-up parameter `options` of the user. */
export const OPTIONS_REFUSED = 'OPTIONS_REFUSED';
/** The server requires a password, and none was given. */
export const NO_PASSWORD = 'NO_PASSWORD';
/** The path of a Unix socket is not valid. */
export const NO_SOCKET = 'NO_SOCKET';
/** The server does not accept writes yet: pg_is_in_recovery() is true. */
export const IN_RECOVERY = 'IN_RECOVERY';
/** None of several hosts accepts writes. */
export const NO_PRIMARY = 'NO_PRIMARY';

const KINDS: Record<string, ErrorKind> = {
  // The network and the driver
  [CALL_TIMEOUT]: 'unavailable',
  [NO_PRIMARY]: 'unavailable', // a failover may promote one soon
  ECONNREFUSED: 'unavailable',
  ECONNRESET: 'unavailable',
  ECONNABORTED: 'unavailable',
  EPIPE: 'unavailable',
  ETIMEDOUT: 'unavailable',
  EHOSTUNREACH: 'unavailable',
  EHOSTDOWN: 'unavailable',
  ENETUNREACH: 'unavailable',
  ENETDOWN: 'unavailable',
  EADDRNOTAVAIL: 'unavailable',
  EAGAIN: 'unavailable',
  EMFILE: 'unavailable',
  ENOENT: 'unavailable', // a Unix socket that does not exist yet
  ENOTFOUND: 'unavailable', // a name that does not resolve yet
  EAI_AGAIN: 'unavailable',
  EAI_FAIL: 'unavailable',
  EAI_NODATA: 'unavailable',
  CONNECT_TIMEOUT: 'unavailable',
  CONNECTION_CLOSED: 'unavailable',
  CONNECTION_ENDED: 'unavailable',
  CONNECTION_DESTROYED: 'unavailable',
  [NO_SOCKET]: 'local',
  [TLS_REFUSED]: 'refused',
  [UNTRUSTED_SCHEMA]: 'denied',
  [AUTHENTICATION_REFUSED]: 'refused',
  [PROTOCOL_VIOLATION]: 'refused',
  [INVALID_ANSWER]: 'refused',
  [TLS_UNTRUSTED]: 'refused',
  [NO_ROOT_CERTIFICATE]: 'refused',
  [NOT_POSTGRESQL]: 'refused',
  [OPTIONS_REFUSED]: 'refused',
  [NO_PASSWORD]: 'refused',
  [STATEMENT_POOLING]: 'refused',
  [IN_RECOVERY]: 'unavailable', // a failover may promote it soon; a server that restarts after a crash looks the same
  AUTH_TYPE_NOT_IMPLEMENTED: 'refused',
  SASL_SIGNATURE_MISMATCH: 'refused',
  // SQLSTATEs: https://www.postgresql.org/docs/current/errcodes-appendix.html
  '08': 'unavailable', // connection exception
  '08P01': 'refused', // protocol violation
  '25000': 'settings', // not READ COMMITTED
  '25006': 'settings', // read-only transaction
  '28': 'refused', // password, pg_hba.conf
  '3D000': 'refused', // no such database
  [ABSENT_SCHEMA]: 'absent',
  '42P01': 'absent', // no such table
  [ABSENT_FUNCTION]: 'absent',
  '42501': 'denied',
  [NOT_STORABLE]: 'usage',
  ML001: 'usage', // raised by refuse() in sql/functions/begin.sql
  '40001': 'contention', // serialization failure
  '40P01': 'contention', // deadlock
  '55P03': 'contention', // lock_timeout
  '53': 'unavailable', // too many connections, out of memory
  '53100': 'fault', // disk full
  '57P01': 'unavailable', // terminated by the administrator: a restart
  '57P02': 'unavailable', // crash of another session
  '57P03': 'unavailable', // starting up
  '57P05': 'unavailable', // idle session timeout
  '57014': 'unavailable', // statement timeout
  '25P03': 'unavailable', // idle in transaction timeout
  '25P04': 'unavailable', // transaction timeout
};

/** A SQLSTATE, a Node error code, or one of postgres.js; UNKNOWN when there is none. */
export function errorCode(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string') {
    return isFatal(error) && error instanceof Error ? codeOfPooler(error.code, error.message) : error.code;
  }
  return 'UNKNOWN';
}

export function classify(error: unknown): ErrorKind {
  const code = errorCode(error);
  // With TLS 1.3 the server judges the client's certificate after the handshake.
  if (/^ERR_SSL_.*_ALERT_/.test(code)) return 'refused';
  return KINDS[code] ?? (/^[0-9A-Z]{5}$/.test(code) ? KINDS[code.slice(0, 2)] : undefined) ?? 'fault';
}

/** Whether the lock schema is missing: on this server, or on a replica so far. */
export function isAbsent(error: unknown): boolean {
  if (classify(error) === 'absent') return true;
  return error instanceof Error && errorCode(error) === IN_RECOVERY && classify(error.cause) === 'absent';
}

/** Errors that may be temporary. A Unix socket that worked before is missing while the server restarts. */
const MAY_PASS = new Set<ErrorKind>(['unavailable', 'contention', 'fault', 'local']);

/**
 * Whether to retry a call that was possible before: the server may restart, a replica may be promoted, a row lock may be
 * released.
 */
export function mayPass(error: unknown): boolean {
  return MAY_PASS.has(classify(error));
}
