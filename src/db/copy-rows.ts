import type { Session } from './database.js';

/** A row of COPY's text format; null: the field is NULL. */
export type CopiedRow = (string | null)[];

/**
 * Reads a table with `COPY ... TO STDOUT`, which runs no code of its owner: no view, no rule, no function, no planner.
 * It fails for other relations.
 */
export async function copyRows(session: Session, statement: string): Promise<CopiedRow[]> {
  const chunks: Buffer[] = [];
  const stream = await session.unsafe(statement).readable();
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  const lines = Buffer.concat(chunks).toString('utf8').split('\n').slice(0, -1);
  return lines.map((line) => line.split('\t').map(readField));
}

const ESCAPES: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

function readField(field: string): string | null {
  if (field === '\\N') return null;
  return field.replace(/\\(.)/g, (_, letter: string) => ESCAPES[letter] ?? letter);
}
