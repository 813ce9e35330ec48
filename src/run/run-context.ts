import type { Guard } from '../child/guard.js';
import type { ConnectionConfig } from '../db/settings/connection-config.js';
import type { EventStream } from '../events/event-stream.js';
import type { LockCalls } from '../lock/calls.js';
import type { Identity } from '../lock/lease.js';
import type { OrphanMode } from '../lock/poll-call.js';
import type { SignalRouter } from './signals.js';

export interface RunOptions {
  command: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  cwd: string;
  connection: ConnectionConfig;
  schema: string;
  ttlMs: number;
  waitTimeoutMs: number;
  pollIntervalMs: number;
  killGraceMs: number;
  orphans: OrphanMode;
  /** Whether a waiter may keep a connection to be notified of a release. */
  listen: boolean;
  /** A shell command that is run first when the last lease of this command had an unclean end; null: known tools recover. */
  recover: string | null;
  /** A shell command: with exit code 0, nothing is pending. null: the command is always run. */
  check: string | null;
  /** Work that needs to succeed once; null: every run runs the command. */
  once: OnceOptions | null;
  /** For how long the command may block other sessions of the database; null: it is not watched. */
  maxBlockMs: number | null;
  /** How often a command that has failed is started again under the same lease. */
  retries: number;
  /** The program and its arguments that the guard runs to release the lease of a killed holder. */
  releaseProgram: readonly string[];
  /** This program as a guard, where there is no shell. */
  ownGuard: readonly string[];
  /** Which of our descriptors the child's stdout is. */
  childStdout: 'stdout' | 'stderr';
  /** The exit code when the lock was not acquired in time. */
  conflictExitCode: number;
}

export interface OnceOptions {
  runKey: string;
  /** For how long a failure of another run counts for this one; null: the work is tried again. */
  failureMemoryMs: number | null;
}

/** What the parts of a run share. */
export interface RunContext {
  readonly options: RunOptions;
  /** Identifies the processes of this run (instance-mark.ts). A secret. */
  readonly mark: string;
  /** Replaced when its instance id was used by a lease that was acquired without an answer and has expired. */
  me: Identity;
  readonly events: EventStream;
  readonly signals: SignalRouter;
  readonly calls: LockCalls;
  readonly guard: Guard;
}
