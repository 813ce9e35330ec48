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
  /** Whether a waiter may keep a connection to hear of a release at once. */
  listen: boolean;
  /** Work that needs to succeed once; null: the command is run by everybody. */
  once: OnceOptions | null;
  /** Program and arguments by which the guard has a dead holder's lease released. */
  releaseProgram: readonly string[];
  /** Which of our descriptors the child's stdout is. */
  childStdout: 'stdout' | 'stderr';
  /** The exit code when the lock was not acquired in time. */
  conflictExitCode: number;
}

export interface OnceOptions {
  runKey: string;
  /** For how long somebody else's failure is ours too; null: the work is tried again. */
  failureMemoryMs: number | null;
}

/** What the parts of a run have in common. */
export interface RunContext {
  readonly options: RunOptions;
  /** Marks the processes of this run, for its guard too (instance-mark.ts). A secret. */
  readonly mark: string;
  /** This instance to the lock. Another one takes its place when it was used up while nobody held anything under it. */
  me: Identity;
  readonly events: EventStream;
  readonly signals: SignalRouter;
  readonly calls: LockCalls;
  readonly guard: Guard;
}
