import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { judgeLimits } from '../../../src/doctor/machine-checks.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { AS_NOBODY } from '../../support/other-users.js';
import { assertNothingLeft, CLI, NODE } from '../../support/run-cli.js';
import { doctor } from './doctor.js';

const WITHOUT_SHELL = [
  ...['unshare', '--mount', 'sh', '-c'],
  ...['mount --bind /dev/null "$(readlink -f /bin/sh)" && exec "$@"', 'sh'],
];
const WITHOUT_DEVICES = [
  ...['unshare', '--mount', 'sh', '-c'],
  ...['mount -t tmpfs none /dev && exec "$@"', 'sh'],
];
const OUTER_PROC = ['unshare', '--pid', '--fork', '--kill-child'];
const HIDDEN_PROC = [
  ...['unshare', '--mount', 'sh', '-c'],
  ...[`mount -t proc -o hidepid=2 proc /proc && exec ${AS_NOBODY.join(' ')} "$@"`, 'sh'],
];
const mayHide = spawnSync('unshare', [...HIDDEN_PROC.slice(1), NODE, CLI, '--version']).status === 0;
const NO_PLACE = new URL('../../support/fixtures/no-place.cjs', import.meta.url).pathname;
const hasNamespaces =
  spawnSync('unshare', [...WITHOUT_SHELL.slice(1), '/bin/sh', '-c', 'true']).status === 126;
const ifPossible = hasNamespaces ? test : test.skip;
const why = '(skipped where unshare is not permitted)';

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
afterEach(() => assertNothingLeft());
afterAll(() => db.drop());

ifPossible(`shell: one that may not be executed ${why}`, async () => {
  const { of, code } = await doctor(db.url, [], { through: WITHOUT_SHELL });
  expect(of('shell')).toMatchObject({
    status: 'warn',
    detail: '/bin/sh may not be executed',
    hint: expect.stringMatching(/migrate-lock itself.* --on-event need a shell/),
  });
  expect(code).toBe(0);
});

ifPossible(`shell: no /dev/null, so that no guard of any kind can be started ${why}`, async () => {
  const { of } = await doctor(db.url, [], { through: WITHOUT_DEVICES });
  expect(of('shell')).toMatchObject({
    status: 'warn',
    detail: 'there is no /dev/null',
    hint: expect.stringContaining('There is no guard'),
  });
});

ifPossible(`process-table: the /proc of another PID namespace ${why}`, async () => {
  const { of } = await doctor(db.url, [], { through: OUTER_PROC });
  expect(of('process-table')).toMatchObject({
    status: 'warn',
    detail: expect.stringContaining('PID namespace'),
  });
});

(mayHide ? test : test.skip)(
  `process-table: a /proc that hides the processes of other users ${why}`,
  async () => {
    const { of } = await doctor(db.url, [], { through: HIDDEN_PROC });
    expect(of('process-table')).toMatchObject({
      status: 'warn',
      detail: expect.stringContaining('hidepid'),
    });
  },
);

test('socket: no folder for one', async () => {
  expect(existsSync(NO_PLACE)).toBe(true);
  const { of } = await doctor(db.url, [], { program: ['--require', NO_PLACE, CLI] });
  expect(of('socket')).toMatchObject({ status: 'warn', hint: expect.stringContaining('TMPDIR') });
});

test('socket: the folder that was made for the check is removed', async () => {
  const TMPDIR = mkdtempSync(join(tmpdir(), 'doctor-'));
  try {
    mkdirSync(join(TMPDIR, 'other'));
    expect((await doctor(db.url, [], { env: { TMPDIR } })).of('socket').status).toBe('ok');
    expect(readdirSync(TMPDIR)).toEqual(['other']);
  } finally {
    rmSync(TMPDIR, { recursive: true });
  }
});

test('PGAPPNAME: a name of its own for every session', async () => {
  expect((await doctor(db.url)).of('PGAPPNAME').status).toBe('ok');
  expect((await doctor(db.url, [], { env: { PGAPPNAME: 'shop' } })).of('PGAPPNAME').status).toBe('warn');
});

test('open-files: a low hard limit', async () => {
  const { of } = await doctor(db.url, [], { through: ['sh', '-c', 'ulimit -n 100; exec "$@"', 'sh'] });
  expect(of('open-files')).toMatchObject({ status: 'warn', detail: 'at most 100' });
});

test('processes: few that are left for this user', () => {
  const [, few] = judgeLimits({ openFiles: null, processesLeft: 3 });
  expect(few).toMatchObject({ name: 'processes', status: 'warn', detail: expect.stringContaining('3 more') });
  expect(judgeLimits({ openFiles: null, processesLeft: null }).map(({ status }) => status)).toEqual([
    'ok',
    'ok',
  ]);
});
