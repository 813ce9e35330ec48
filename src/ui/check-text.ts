import { PLAIN, type Paint } from './colour.js';
import { printable } from './printable.js';

/** What `migrate-lock doctor` found out about one thing. */
export interface Check {
  name: string;
  /** `fail`: a run fails. `warn`: a run works, with a limitation. */
  status: 'ok' | 'warn' | 'fail';
  detail: string;
  /** What to do; null: nothing. */
  hint: string | null;
}

/** The check for people, in one line. Texts of the server are made printable. */
export function describeCheck({ name, status, detail, hint }: Check, paint: Paint = PLAIN): string {
  const colour = { ok: paint.good, warn: paint.warn, fail: paint.bad }[status];
  const said = printable(detail.replace(/\.$/, ''));
  return `${colour(status)}${' '.repeat(6 - status.length)}${name}: ${said}${hint === null ? '' : `. ${printable(hint)}`}`;
}
