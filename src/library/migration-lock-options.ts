import type postgres from 'postgres';
import { UsageError } from '../errors.js';
import type { EventListener } from '../events/events.js';

/** Only `connection` is required. */
export interface MigrationLockOptions {
  /** A URL (`postgres://...`), or a postgres.js instance, which stays the caller's to end. */
  connection: string | postgres.Sql;
  /** The database schema of the lock; another schema is another lock. Default `migrate_lock`. */
  schema?: string;
  /** The length of the lease in milliseconds. Default 30 000. */
  ttlMs?: number;
  /** How long wait() waits, in milliseconds; 0: one attempt. Default 30 000. */
  waitTimeoutMs?: number;
  /** The longest pause between two polls of a single waiter, in milliseconds, times a random 0.5 to 1.5. Default 1 000. */
  pollIntervalMs?: number;
  /**
   * Whether wait() may keep a connection of its own while it is among the first few of the queue, to be notified of a
   * release. Never on the caller's connection, or behind a pooler. Default true.
   */
  listen?: boolean;
  /** Ends wait() (which throws the signal's reason) and the attempts of extend() and release(). */
  signal?: AbortSignal;
  /** Called with every event, as the command line writes it to stdout. Errors that it throws are ignored. */
  onEvent?: EventListener;
  /** Shown to waiters: what is being run. Credentials in it are redacted; at most 2000 characters are kept. */
  command?: string;
}

/** @throws {UsageError} when it is not a whole number of milliseconds above 0. */
export function positive(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new UsageError(
    `${name} is ${value}.`,
    `${name} is a whole number of milliseconds, for example 30000.`,
  );
}
