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
  /** The longest pause between two polls of a lone waiter, in milliseconds. Default 1 000. */
  pollIntervalMs?: number;
  /**
   * Whether wait() may keep a connection of its own, as long as it is among the first few of the queue, to hear of a release at
   * once. Never on a connection that is the caller's, or behind a pooler. Default true.
   */
  listen?: boolean;
  /** Ends wait() (it then throws the signal's reason) and the tries of extend() and release(). */
  signal?: AbortSignal;
  /** Called with every event, as the command line writes it to stdout. What it throws is ignored. */
  onEvent?: EventListener;
  /** Shown to those who wait: what is being run. Credentials in it are redacted; at most 2000 characters are kept. */
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
