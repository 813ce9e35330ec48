import { formatDuration } from '../text/duration.js';
import type { SessionActivity } from '../events/events.js';
import type { Paint } from './colour.js';
import { printable } from './printable.js';
import { aboutProgress, aboutWait, queueBehind } from './session-text.js';

const WIDTH = 20;

interface KnownSessions {
  sessions: readonly SessionActivity[] | null;
  sessionsUnknown: string | null;
}

/** `[########------------]`, for a share from 0 to 1. */
export function bar(share: number): string {
  const full = Math.round(WIDTH * Math.min(1, Math.max(0, share)));
  return `[${'#'.repeat(full)}${'-'.repeat(WIDTH - full)}]`;
}

/** What the database sessions of the lease are doing, in aligned columns, each with what it waits for and how far it is. */
export function describeSessions({ sessions, sessionsUnknown }: KnownSessions, paint: Paint): string[] {
  if (sessionsUnknown !== null)
    return [`The database sessions of its command are not known: ${printable(sessionsUnknown)}`, ''];
  if (sessions === null) return [];
  if (sessions.length === 0) return ['Its command has no database session here.', ''];
  const header = ['pid', 'role', 'client', 'state', 'for', 'wait event'];
  const rows = sessions.map(({ pid, role, client, state, stateMs, waitEvent }) =>
    [
      ...[String(pid), role ?? 'hidden', client ?? '-', state ?? 'hidden'],
      ...[stateMs === null ? '-' : formatDuration(stateMs), waitEvent ?? '-'],
    ].map(printable),
  );
  const widths = header.map((name, at) =>
    Math.max(...[header, ...rows].map((row) => (row[at] ?? name).length)),
  );
  const aligned = (row: readonly string[]): string =>
    `  ${row.map((field, at) => field.padEnd(widths[at] ?? 0)).join('  ')}`.trimEnd();
  return [
    'The database sessions of its command:',
    '',
    paint.dim(aligned(header)),
    ...sessions.flatMap((session, at) => {
      const { statement, waiting, progress } = session;
      const share = progress?.done ?? null;
      return [
        aligned(rows[at] ?? []),
        ...(statement === null ? [] : [`      ${printable(statement)}`]),
        ...(waiting === null ? [] : [`      ${paint.bad(printable(aboutWait(session)))}`]),
        ...(waiting !== null || session.queued === 0 ? [] : [`      ${paint.bad(queueBehind(session))}`]),
        ...(progress === null
          ? []
          : [
              `      ${paint.good(`${share === null ? '' : `${bar(share)} `}${printable(aboutProgress(session))}`)}`,
            ]),
      ];
    }),
    ...(sessions.some(({ state }) => state === null)
      ? [
          '',
          '"hidden": PostgreSQL shows it to the session\'s own role and to pg_read_all_stats (GRANT pg_read_all_stats TO ...).',
        ]
      : []),
    '',
  ];
}
