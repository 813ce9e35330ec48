import type { HeldLease, HolderAnswer } from './holder-socket.js';

/** The code of an answer that is not the last one: the holder goes on trying. */
export const TRYING = 'TRYING';

/** Reads a holder's answer; undefined when it is none, for whatever listens on a socket may have sent it. */
export function readAnswer(line: string): HolderAnswer | undefined {
  let told: unknown;
  try {
    told = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isRecord(told)) return undefined;
  const { ok, lease, code, message } = told;
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
