/** What differs from run to run in a screen (ids, process ids, times, durations), replaced by values that do not. */
const DURATION = String.raw`\d+(?:\.\d+)?(?:ms|s|m|h|d)(?: \d+[smh])?`;
const TIME = String.raw`\d{4}-\d\d-\d\dT[\d:.]+Z`;
const PROCESS_IDS = ['24055', '24098'];
const SESSION_IDS = ['4711', '812', '813', '814'];
const INSTANCE_IDS = ['uVgrYlVbtOcUkOwYrFSNP', 'V1StGXR8_Z5jdHi6B-myT'];
/** The version that the documents show. */
const SERVER_VERSION = '18.1';

const FIXED: readonly [before: string, value: string, fixed: string, after?: string][] = [
  ['acquired the lock after ', DURATION, '114ms'],
  ['the recovery succeeded after ', DURATION, '1.6s'],
  ['after 1\\.6s\\nmigrate-lock: running .* must be done within ', DURATION, '21s'],
  ['must be done within ', '2[23]s', '23s'],
  ['others\\nmigrate-lock: running .* must be done within ', '9m \\d+s', '9m 46s'],
  ['must be done within ', '9m 5\\ds', '9m 51s'],
  ['have waited up to ', '3(?:\\.\\d)?s', '3s'],
  ['started again in ', DURATION, '1s'],
  ['the command succeeded after ', DURATION, '886ms'],
  ['the command failed with exit code 1 after ', DURATION, '3.9s'],
  ['after 3\\.9s\\nmigrate-lock: released the lock after ', DURATION, '4s'],
  ['the command was ended by SIGTERM after ', '2[34]s', '23s'],
  ['after 23s\\nmigrate-lock: released the lock after ', DURATION, '23s'],
  ['after 886ms\\nmigrate-lock: released the lock after ', DURATION, '912ms'],
  ['the recovery succeeded [^]*released the lock after ', DURATION, '2.6s'],
  ['started again in [^]*released the lock after ', DURATION, '6.2s'],
  ['gave up after ', '[23](?:\\.\\d)?s', '2s'],
  ['\\) for ', DURATION, '12s'],
  ['lease ends in ', '9m \\d+s|10m', '9m 48s'],
  ['^waiting ', DURATION, '2s'],
  ['will be ended in ', DURATION, '4.6s'],
  ['has waited ', DURATION, '11s'],
  ['(?:idle in transaction|transaction open|active) for ', DURATION, '6m'],
  ['since +', TIME, '2026-01-31T12:00:00.000Z'],
  ['released +', TIME, '2026-01-31T12:00:00.912Z'],
  ['until +', TIME, '2026-01-31T12:10:00.000Z'],
  [`${TIME} \\(`, DURATION, '12s', ' ago'],
  [`${TIME} \\(in `, DURATION, '9m 48s'],
  ['left +\\[#+\\] ', DURATION, '9m 48s'],
  ['at ', TIME, '2026-01-31T12:00:00.912Z'],
  ['"time":"', TIME, '2026-01-31T12:00:00.000Z'],
  ['"expiresAt":"', TIME, '2026-01-31T12:00:30.000Z'],
  ['"waitedMs":', '\\d+', '114'],
  ['"auditHash":"', '\\w{64}', '450ec9976ca6b2293fefc926704d70025623adb2e7057ff2489c5e760c04da0b'],
  ['PostgreSQL ', '[\\d.]+', SERVER_VERSION],
  ['127\\.0\\.0\\.1:', '\\d+', '5432'],
  ['128 or more, ', TIME, '2026-01-31T12:00:00.912Z'],
  ['free-connections: ', '\\d+', '94'],
  ['round-trip: ', `less than 1ms|${DURATION}`, 'less than 1ms'],
  ["differs from the database's by ", DURATION, '1ms'],
  ['open-files: ', '.+', '524288'],
  ['processes: ', '.+', 'no limit found'],
];

export function withFixedValues(screen: string): string {
  let text = numbered(screen, /(?<![\w-])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{21}(?![\w-])/g, INSTANCE_IDS);
  text = numbered(
    text,
    /(?<=^ {2}|database session |behind session |held by pid |terminate_backend\()\d+(?=[ )])/gm,
    SESSION_IDS,
  );
  text = numbered(text, /(?<=\(pid |^ {2}pid {3,}|"pid":|"childPid":)\d+/gm, PROCESS_IDS);
  for (const [before, value, fixed, after = ''] of FIXED)
    text = text.replaceAll(new RegExp(`(?<=${before})(?:${value})(?=${after})`, 'gm'), fixed);
  // Where in its files a tool has failed.
  text = text.replaceAll(/^ +at .*:\d+:\d+\)?\n/gm, '');
  // Two programs write these lines, in any order.
  text = text.replaceAll(
    /((?:^(?!migrate-lock: |\$).*\n)+)(migrate-lock: \d+ sessions have waited .*\n)/gm,
    '$2$1',
  );
  return text.replaceAll(/^ {2}pid +role .*\n(?:(?: {2}\d| {6}).*\n?)+/gm, (table) => aligned(table));
}

/** Each value by the one of its rank: the same value always by the same. */
function numbered(text: string, value: RegExp, fixed: readonly string[]): string {
  const found = [...new Set([...text.matchAll(value)].map(([one]) => one))];
  if (found.length > fixed.length)
    throw new Error(`there are fixed values for ${fixed.length}, not for ${found.length}`);
  return text.replaceAll(value, (one) => fixed[found.indexOf(one)] ?? '');
}

/** The table of sessions in columns that fit its fixed values. */
function aligned(table: string): string {
  const lines = table.trimEnd().split('\n');
  const rows = lines.map((line) =>
    /^ {6}/.test(line) ? null : line.trim().split(/ {2,}/).map(withFixedDuration),
  );
  const widths = [0, 1, 2, 3, 4, 5].map((at) => Math.max(...rows.map((row) => row?.[at]?.length ?? 0)));
  const text = rows.map((row, line) =>
    row === null
      ? lines[line]
      : `  ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')}`.trimEnd(),
  );
  return `${text.join('\n')}\n`;
}

function withFixedDuration(cell: string): string {
  return new RegExp(`^${DURATION}$`).test(cell) ? '11s' : cell;
}
