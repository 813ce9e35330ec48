import { printable } from './printable.js';

/** A row of the history; with `--json` it is printed as it is. */
export interface HistoryEntry {
  id: number;
  /** On the database's clock. */
  at: string;
  atMs: number;
  event: string;
  instanceId: string | null;
  fencingToken: number | null;
  /** The role that logged in and wrote the row. */
  dbRole: string;
  clientAddress: string | null;
  applicationName: string | null;
  details: Record<string, unknown>;
  /** null: the row is not part of the chain. */
  auditHash: string | null;
}

const LONGEST_EVENT = 'lock.release_failed'.length;

/**
 * A row for people: `2026-01-31T12:00:00.000Z  lock.acquired        V1StGXR8_Z5jdHi6B-myT  token 42  by app at 10.0.0.7
 * host="web-1" pid=7`. Texts of other clients are made printable.
 */
export function describeEntry(entry: HistoryEntry): string {
  const { at, event, instanceId, fencingToken, dbRole, clientAddress, details } = entry;
  const own = describeDetails(details);
  const parts = [
    at,
    event.padEnd(LONGEST_EVENT),
    instanceId ?? '-',
    ...(fencingToken === null ? [] : [`token ${fencingToken}`]),
    `by ${dbRole}${clientAddress === null ? '' : ` at ${clientAddress}`}`,
    ...(own.length === 0 ? [] : [own.join(' ')]),
  ];
  return printable(parts.join('  '));
}

/** Details that were written by hand may be no object. */
function describeDetails(details: unknown): string[] {
  if (typeof details !== 'object') return [JSON.stringify(details)];
  return Object.entries(details ?? {})
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`);
}
