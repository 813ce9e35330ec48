import { MigrateLockError, UsageError } from '../errors.js';
import {
  AUTHENTICATION_REFUSED,
  classify,
  errorCode,
  IN_RECOVERY,
  NOT_POSTGRESQL,
  NOT_STORABLE,
  PROTOCOL_VIOLATION,
} from './classify.js';
import { absentHint, deniedHint, hintOf, LOCAL_HINT, refusedHint, unreachableHint } from './explain-hints.js';
import { isFatal } from './server-error.js';

/** This client refuses the server. */
const NOT_ACCEPTED = new Set([AUTHENTICATION_REFUSED, PROTOCOL_VIOLATION, NOT_POSTGRESQL]);

/** Turns an error of the database, the driver or the network into a sentence and a next step. */
export function explain(error: unknown, database: string, schema: string): MigrateLockError {
  if (error instanceof MigrateLockError) return error;
  const said = error instanceof Error ? error.message : String(error);
  const code = errorCode(error);
  if (code === IN_RECOVERY) return notWritable(error, database, said);
  switch (classify(error)) {
    case 'unavailable':
      return new MigrateLockError(`The database could not be reached (${database}): ${said}.`, {
        code: 'DATABASE_UNREACHABLE',
        exit: 'unreachable',
        hint: unreachableHint(error),
        cause: error,
      });
    case 'refused':
      return new MigrateLockError(`${refusedSubject(code)} (${database}): ${said}.`, {
        code: 'DATABASE_REFUSED',
        exit: 'refused',
        hint: refusedHint(error),
        cause: error,
      });
    case 'settings':
      return notWritable(error, database, said);
    case 'local':
      return new UsageError(`The connection cannot be opened (${database}): ${said}.`, LOCAL_HINT, error);
    case 'usage':
      return new UsageError(`${said.charAt(0).toUpperCase()}${said.slice(1)}.`, usageHint(error), error);
    case 'absent':
      return new MigrateLockError(
        `The lock schema "${schema}" is missing or incomplete (${database}): ${said}.`,
        {
          code: 'PERMISSION_DENIED',
          exit: 'denied',
          hint: absentHint(code),
          cause: error,
        },
      );
    case 'denied':
      return new MigrateLockError(`The database role lacks a right (${database}): ${said}.`, {
        code: 'PERMISSION_DENIED',
        exit: 'denied',
        hint: deniedHint(error, isFatal(error), schema),
        cause: error,
      });
    case 'contention':
    case 'fault':
      return fault(error, code, `${whoFailed(code)} (${database}): ${said}.`);
  }
}

/** A SQLSTATE comes from the server; anything else from the driver, Node or the network. */
function whoFailed(code: string): string {
  return /^[0-9A-Z]{5}$/.test(code)
    ? 'The database reported an error'
    : 'The connection to the database failed';
}

function fault(cause: unknown, code: string, message: string): MigrateLockError {
  const hint = `Its code is ${code}; the server's log says more.`;
  return new MigrateLockError(message, { code: 'DATABASE_FAULT', exit: 'refused', hint, cause });
}

function usageHint(error: unknown): string {
  if (errorCode(error) === NOT_STORABLE) {
    return "The database's encoding has no such character: give a run key, a schema or an instance id in ASCII.";
  }
  return hintOf(error);
}

function notWritable(cause: unknown, database: string, said: string): MigrateLockError {
  return new MigrateLockError(`The database cannot be written to (${database}): ${said}.`, {
    code: 'DATABASE_REFUSED',
    exit: 'refused',
    hint: 'It is probably a replica: a lock can only be taken on the primary. Give its address.',
    cause,
  });
}

function refusedSubject(code: string): string {
  return NOT_ACCEPTED.has(code)
    ? 'The database server is not accepted'
    : 'The database refused the connection';
}
