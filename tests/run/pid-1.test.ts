import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { SupervisorLab } from '../child/supervisor-process.js';
import { parseAuditLine } from '../harness/audit-line.js';
import { createDatabase, type TestDatabase } from '../harness/database.js';
import { CLI } from '../harness/run-cli.js';

const PID_1 = ['--pid', '--fork', '--mount-proc', '--kill-child'];
const mayUnshare = process.platform === 'linux' && spawnSync('unshare', [...PID_1, 'true']).status === 0;

let db: TestDatabase;
let lab: SupervisorLab;

beforeAll(async () => {
  db = await createDatabase();
});
beforeEach(() => {
  lab = new SupervisorLab();
});
afterEach(() => lab.dispose());
afterAll(() => db.drop());

/** As in a container without an init: node is PID 1, and whoever loses its parents becomes its child. */
function start(...command: string[]) {
  const events = path.join(lab.folder, 'events');
  const call = 'events=$1; shift; exec "$@" >"$events"';
  const program = lab.run(
    'unshare',
    [...PID_1, 'sh', '-c', call, 'sh', events, process.execPath, CLI, 'run', '--', ...command],
    { DATABASE_URL: db.url },
  );
  return {
    program,
    ended: once(program, 'exit'),
    told: () => readFileSync(events, 'utf8').trim().split('\n').map(parseAuditLine),
  };
}

(mayUnshare ? test : test.skip)(
  'as PID 1: an adopted zombie holds the release up no more than the exit (skipped where unshare is not permitted)',
  async () => {
    // Its parent ends first, so that it is PID 1's, which does not reap it: it stays in the command's group.
    const adopted = "cat /proc/[0-9]*/stat 2>/dev/null | grep -q '(sleep) Z 1 '";
    const { ended, told } = start(
      'sh',
      '-c',
      `(sleep 0.05 &); until ${adopted}; do sleep 0.05; done; exit 6`,
    );
    expect(await ended).toEqual([6, null]);
    expect(told().map(({ event }) => event)).toEqual([
      'schema.applied',
      'lock.acquired',
      'child.started',
      'child.exited',
      'lock.released',
      'run.finished',
    ]);
    expect(told()[0]).toMatchObject({ pid: 1 });
    const [lease] = await db.sql`SELECT pid, released_by FROM migrate_lock.migration_lock`;
    expect(lease).toEqual({ pid: 1, released_by: 'holder' });
  },
);

(mayUnshare ? test : test.skip)(
  'as PID 1: what a container is stopped with ends the command and what it left (skipped where unshare is not permitted)',
  async () => {
    const { program, ended, told } = start('sh', '-c', '(sleep 1000 &); echo ready; exec sleep 1000');
    await lab.untilOutput('ready');
    // unshare passes nothing on: its only child is PID 1 there, and has another number here.
    const pid1 = readFileSync(`/proc/${program.pid}/task/${program.pid}/children`, 'utf8').trim();
    process.kill(Number(pid1), 'SIGTERM');
    expect(await ended).toEqual([143, null]);
    const names = told().map(({ event }) => event);
    expect(names).toContain('child.leftover');
    expect(names.slice(-2)).toEqual(['lock.released', 'run.finished']);
  },
);
