import type { HeldLease, HolderAnswer } from './holder-socket.js';

/** The code of an answer that another one follows: the holder tries again. */
export const TRYING = 'TRYING';

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

function isLease(lease: unknown): lease is HeldLease & Record<string, unknown> {
  return (
    isRecord(lease) &&
    [lease.schema, lease.instanceId, lease.dbRole, lease.expiresAt].every(
      (text) => typeof text === 'string',
    ) &&
    [lease.fencingToken, lease.termInMs, lease.killInMs].every(Number.isFinite)
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
