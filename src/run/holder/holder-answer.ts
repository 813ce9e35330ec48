import { mayPass } from '../../db/classify.js';
import { explain } from '../../db/explain.js';
import type { LockCalls } from '../../lock/calls.js';
import type { HeldLease, HolderAnswer } from './holder-socket.js';

/** The code of an answer that another one follows: the holder tries again. */
export const TRYING = 'TRYING';

/** A command is sent SIGTERM at its deadline: it must have its answer this long before. */
export const ANSWER_BEFORE_MS = 500;

/** Parses a holder's answer; undefined when it is not one, as another program may listen on the socket. */
export function readAnswer(line: string): HolderAnswer | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isRecord(parsed)) return undefined;
  const { ok, lease, code, message } = parsed;
  if (ok === true && isLease(lease)) return { ok, lease };
  if (ok === false && typeof code === 'string' && typeof message === 'string') return { ok, code, message };
  return undefined;
}

/** The answer to a request for more time that the database did not grant. */
export function notGiven(error: unknown, { database, schema }: LockCalls, expiresAt: Date): HolderAnswer {
  const explained = explain(error, database.description, schema);
  const lasts = `The lease is held until ${expiresAt.toISOString()}`;
  // What passes by itself has not passed in time: the database was as good as away.
  const code = mayPass(error) ? 'DATABASE_UNREACHABLE' : explained.code;
  const said = explained.message.replace(/\.$/, '');
  return { ok: false, code, message: code === 'USAGE' ? said : `${said}. ${lasts}` };
}

function isLease(lease: unknown): lease is HeldLease & Record<string, unknown> {
  return (
    isRecord(lease) &&
    [lease.schema, lease.instanceId, lease.dbRole, lease.expiresAt].every(
      (text) => typeof text === 'string',
    ) &&
    [lease.fencingToken, lease.termInMs, lease.killInMs, lease.cuts ?? 0].every(Number.isFinite)
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
