import { MigrateLockError, UsageError } from '../errors.js';
import { reachedLimit } from '../system-limits.js';
import {
  AUTHENTICATION_REFUSED,
  classify,
  errorCode,
  NO_PRIMARY,
  NOT_STORABLE,
  PROTOCOL_VIOLATION,
  TLS_REFUSED,
} from './classify.js';

/**
 * What a replica says to a read-write transaction, and to a look at an unlogged table: SQLSTATE feature_not_supported. To
 * classify() it is a fault, so that a release is tried again: a failover may be about to make a primary of it.
 */
const NOT_IN_RECOVERY = '0A000';

/** Turns what the database, the driver or the network said into a sentence for people, with what to do next. */
export function explain(error: unknown, database: string, schema: string): MigrateLockError {
  if (error instanceof MigrateLockError) return error;
  const said = error instanceof Error ? error.message : String(error);
  switch (classify(error)) {
    case 'unavailable':
      return new MigrateLockError(`The database could not be reached (${database}): ${said}.`, {
        code: 'DATABASE_UNREACHABLE',
        exit: 'unreachable',
        hint: unreachableHint(error),
        cause: error,
      });
    case 'refused':
      return new MigrateLockError(`${refusedSubject(errorCode(error))} (${database}): ${said}.`, {
        code: 'DATABASE_REFUSED',
        exit: 'refused',
        hint: refusedHint(errorCode(error)),
        cause: error,
      });
    case 'settings':
      return notWritable(error, database, said);
    case 'usage':
      return new UsageError(`${said.charAt(0).toUpperCase()}${said.slice(1)}.`, usageHint(error), error);
    case 'denied':
    case 'absent':
      return new MigrateLockError(`The database role lacks a right (${database}): ${said}.`, {
        code: 'PERMISSION_DENIED',
        exit: 'denied',
        hint:
          `A database administrator applies once what \`migrate-lock init --print\` prints (or runs \`migrate-lock init\`), and ` +
          `grants the role USAGE on schema "${schema}" and EXECUTE on its functions.`,
        cause: error,
      });
    case 'contention':
    case 'fault':
      if (errorCode(error) === NOT_IN_RECOVERY) return notWritable(error, database, said);
      return new MigrateLockError(`The database reported an error (${database}): ${said}.`, {
        code: 'DATABASE_FAULT',
        exit: 'refused',
        hint: `Its code is ${errorCode(error)}; the server's log says more.`,
        cause: error,
      });
  }
}

/** What the lock's own functions say of what to do next. */
function usageHint(error: unknown): string {
  if (errorCode(error) === NOT_STORABLE) {
    return "The database's encoding has no such character: give a run key, a schema or an instance id in ASCII.";
  }
  return error instanceof Object && 'hint' in error && typeof error.hint === 'string' ? error.hint : '';
}

function notWritable(cause: unknown, database: string, said: string): MigrateLockError {
  return new MigrateLockError(`The database cannot be written to (${database}): ${said}.`, {
    code: 'DATABASE_REFUSED',
    exit: 'refused',
    hint: 'It is probably a replica: a lock can only be taken on the primary. Give its address.',
    cause,
  });
}

function unreachableHint(error: unknown): string {
  const longer = '--wait-timeout gives it longer to come up.';
  const code = errorCode(error);
  switch (code) {
    case 'EMFILE':
    case 'ENFILE':
      return reachedLimit(error) ?? longer;
    case '53300':
      return `All its connections are in use. ${longer}`;
    case NO_PRIMARY:
      return `A lock can only be taken on the primary: check that the hosts name it. ${longer}`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `The host name could not be resolved: check it. ${longer}`;
    default:
      return `Check that it is running and that the host and port are right. ${longer}`;
  }
}

function refusedSubject(code: string): string {
  const byUs = code === AUTHENTICATION_REFUSED || code === PROTOCOL_VIOLATION;
  return byUs ? 'The database server is not accepted' : 'The database refuses us';
}

function refusedHint(code: string): string {
  if (code.startsWith('ERR_SSL_'))
    return 'Check sslcert and sslkey: the server does not accept this certificate.';
  switch (code) {
    case '28P01':
      return 'Check the user and the password (in a URL, special characters must be percent-encoded).';
    case '3D000':
      return 'Create it first: the lock is kept in the database that is migrated, so the migration cannot be what creates it.';
    case TLS_REFUSED:
      return 'Check sslmode and the certificates; sslmode=disable connects without TLS.';
    case AUTHENTICATION_REFUSED:
      return "Check the address, channel_binding and require_auth, and how the server's pg_hba.conf authenticates this user.";
    case PROTOCOL_VIOLATION:
      return 'Check the address: is it that of a PostgreSQL server?';
    default:
      return "Check the user, the database's name and the server's pg_hba.conf.";
  }
}
