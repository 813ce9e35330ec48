import { EXIT_CODES, type ExitReason } from './exit-codes.js';

/** The stable error codes, in events and in `error.code`. */
export type ErrorCode =
  | 'USAGE'
  | 'COMMAND_NOT_FOUND'
  | 'COMMAND_NOT_EXECUTABLE'
  | 'DATABASE_UNREACHABLE'
  | 'DATABASE_REFUSED'
  | 'DATABASE_FAULT'
  | 'INVALID_ANSWER'
  | 'PERMISSION_DENIED'
  | 'SCHEMA_NOT_TRUSTED'
  | 'SCHEMA_TOO_NEW'
  | 'SCHEMA_CONFLICT'
  | 'CHECK_TIMEOUT'
  | 'LOCK_WAIT_TIMEOUT'
  | 'LOCK_MISUSED'
  | 'ORPHANS_LEFT'
  | 'HOLDER_UNREACHABLE'
  | 'OUTER_RUN_UNREACHABLE'
  | 'EXTEND_REFUSED'
  | 'LEASE_NOT_HELD'
  | 'UNLOCK_REFUSED'
  | 'HISTORY_CHANGED'
  | 'COMMAND_CUT_OFF'
  | 'RECOVERY_REFUSED'
  | 'INTERNAL';

export interface MigrateLockErrorOptions {
  code: ErrorCode;
  exit: ExitReason;
  /** One sentence: what to do next. */
  hint: string;
  cause?: unknown;
}

/**
 * An expected failure: a stable `code`, the exit code, and a hint that says what to do next.
 * It is printed as one sentence and a hint, never with a stack trace. `cause` is the error that led to it, if any.
 */
export class MigrateLockError extends Error {
  /** The name of the class. */
  // Written out in each subclass, because the command line is minified.
  override readonly name: string = 'MigrateLockError';
  /** Stable: decide by it, not by the message. */
  readonly code: ErrorCode;
  /** The exit code of `migrate-lock` after this error. */
  readonly exitCode: number;
  /** One sentence: what to do next. */
  readonly hint: string;

  constructor(message: string, options: MigrateLockErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code;
    this.exitCode = EXIT_CODES[options.exit].code;
    this.hint = options.hint;
  }
}

/** An option, environment variable or argument is wrong. Exit code 64. */
export class UsageError extends MigrateLockError {
  override readonly name = 'UsageError';

  constructor(message: string, hint: string, cause?: unknown) {
    super(message, { code: 'USAGE', exit: 'usage', hint, cause });
  }
}
