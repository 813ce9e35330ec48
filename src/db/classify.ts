import { codeOfPooler } from './pooler-errors.js';

/**
 * What an error of the database, the driver or the network means for us. One table: a SQLSTATE, a SQLSTATE's class,
 * a Node error code, or a code of postgres.js (https://github.com/porsager/postgres#error-handling).
 *
 *   unavailable  not up yet, no place for us, or the connection was lost: try again later
 *   contention   somebody else was at it in the same moment: try again at once
 *   settings     this session has settings under which the call cannot be made
 *   absent       the lock schema is not there
 *   denied       the role lacks a right
 *   usage        the caller asks for more than the lock's owner allows, or the database can store
 *   refused      the database answered, but not to us: trying again does not help
 *   fault        anything else
 */
export type ErrorKind =
  'unavailable' | 'contention' | 'settings' | 'absent' | 'denied' | 'usage' | 'refused' | 'fault';

/** A call of ours was not answered within its time limit. */
export const CALL_TIMEOUT = 'CALL_TIMEOUT';
/** The server did not offer TLS although it was required, or its certificate was not accepted. */
export const TLS_REFUSED = 'TLS_REFUSED';
/** What is in the lock schema may be another role's: nothing in it is called. */
export const UNTRUSTED_SCHEMA = 'SCHEMA_NOT_TRUSTED';
/** SQLSTATE: no such schema. */
export const ABSENT_SCHEMA = '3F000';
/** SQLSTATE: the database's encoding does not have a character. */
export const NOT_STORABLE = '22P05';
/** What the server asks for is less than was demanded, more than we can do, or it has not proved who it is. */
export const AUTHENTICATION_REFUSED = 'AUTHENTICATION_REFUSED';
/** The server sent what is no message of the protocol, or is too long. */
export const PROTOCOL_VIOLATION = 'PROTOCOL_VIOLATION';
/** The lock schema's functions answered what makes no sense. */
export const INVALID_ANSWER = 'INVALID_ANSWER';
/** Of several hosts, none is one that takes writes. */
export const NO_PRIMARY = 'NO_PRIMARY';

const KINDS: Record<string, ErrorKind> = {
  // The network and the driver
  [CALL_TIMEOUT]: 'unavailable',
  [NO_PRIMARY]: 'unavailable', // a failover may be about to make one
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
  ENOENT: 'unavailable', // a Unix socket that is not there yet
  ENOTFOUND: 'unavailable', // a name that is not resolved yet
  EAI_AGAIN: 'unavailable',
  EAI_FAIL: 'unavailable',
  EAI_NODATA: 'unavailable',
  CONNECT_TIMEOUT: 'unavailable',
  CONNECTION_CLOSED: 'unavailable',
  CONNECTION_ENDED: 'unavailable',
  CONNECTION_DESTROYED: 'unavailable',
  [TLS_REFUSED]: 'refused',
  [UNTRUSTED_SCHEMA]: 'denied',
  [AUTHENTICATION_REFUSED]: 'refused',
  [PROTOCOL_VIOLATION]: 'refused',
  [INVALID_ANSWER]: 'refused',
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
  '42883': 'absent', // no such function
  '42501': 'denied',
  [NOT_STORABLE]: 'usage',
  ML001: 'usage', // a code of our own: refuse() in sql/functions/change.sql
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
    const saidByPooler =
      error.code === '08P01' && 'severity_local' in error && error.severity_local === 'FATAL';
    return saidByPooler && error instanceof Error ? codeOfPooler(error.message) : error.code;
  }
  return 'UNKNOWN';
}

export function classify(error: unknown): ErrorKind {
  const code = errorCode(error);
  // With TLS 1.3 the server's word on our certificate comes after the handshake.
  if (/^ERR_SSL_.*_ALERT_/.test(code)) return 'refused';
  return KINDS[code] ?? (/^[0-9A-Z]{5}$/.test(code) ? KINDS[code.slice(0, 2)] : undefined) ?? 'fault';
}
