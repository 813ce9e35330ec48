import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { nanoid } from 'nanoid';

/** Who asks for the lease: a public name, and the proof that never leaves the process but as a bound parameter. */
export interface Identity {
  instanceId: string;
  secret: string;
}

/** What is told about a holder or waiter to those who look. */
export interface ClientDescription {
  host: string;
  pid: number;
  /** The command line, redacted. */
  command: string | null;
  runKey: string | null;
}

/** The right to run, as its holder knows it. */
export interface Lease {
  instanceId: string;
  fencingToken: number;
  /** On the database's clock. */
  lockedAt: Date;
  /** On the database's clock. */
  expiresAt: Date;
  /** On the holder's monotonic clock (`performance.now()`); never later than `expiresAt`. */
  endsAtMs: number;
}

/** Somebody else's lease, as the database tells of it. */
export interface HolderDescription {
  instanceId: string;
  fencingToken: number;
  host: string | null;
  pid: number | null;
  dbRole: string;
  command: string | null;
  runKey: string | null;
  lockedAtMs: number;
  expiresAtMs: number;
  heldMs: number;
  expiresInMs: number;
  releasedAtMs: number | null;
}

export function newIdentity(): Identity {
  return { instanceId: nanoid(), secret: randomBytes(32).toString('base64url') };
}

export function describeThisProcess(command: string | null, runKey: string | null = null): ClientDescription {
  return { host: hostname(), pid: process.pid, command, runKey };
}

/** The tag of the sessions that work under a lease: `application_name` in pg_stat_activity. */
export function applicationName(instanceId: string): string {
  return `migrate-lock:${instanceId}`;
}
