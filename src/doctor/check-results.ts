import { explain } from '../db/explain.js';
import type { Check } from '../ui/check-text.js';

export type { Check } from '../ui/check-text.js';

export function ok(name: string, detail: string): Check {
  return { name, status: 'ok', detail, hint: null };
}

export function warn(name: string, detail: string, hint: string): Check {
  return { name, status: 'warn', detail, hint };
}

export function fail(name: string, detail: string, hint: string): Check {
  return { name, status: 'fail', detail, hint };
}

/** What is checked, for messages. */
export interface Subject {
  database: string;
  schema: string;
}

/** What could not be found out, with the reason, in the words of a run that fails for it. */
export function unknown(
  name: string,
  status: 'warn' | 'fail',
  error: unknown,
  { database, schema }: Subject,
): Check {
  const { message, hint } = explain(error, database, schema);
  return { name, status, detail: message, hint: hint === '' ? null : hint };
}
