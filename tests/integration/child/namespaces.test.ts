import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { parseAuditLine } from '../../support/audit-line.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { CLI, NODE } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';
import { SupervisorLab } from './supervisor-process.js';

const OWN_PROC = ['--pid', '--fork', '--mount-proc', '--kill-child'];
const OUTER_PROC = ['unshare', '--pid', '--fork', '--kill-child'];
const mayUnshare = process.platform === 'linux' && spawnSync('unshare', [...OWN_PROC, 'true']).status === 0;
const ifPossible = mayUnshare ? test : test.skip;
const why = '(skipped where unshare is not permitted)';

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

const BYSTANDERS = 60;

/**
 * A PID namespace in which every low process id belongs to a bystander, and in it another one that shares its /proc:
 * every
 * process id of the inner one is a bystander's in /proc. `inner` are shell words that run in the inner one, with `$@`
 * as migrate-lock and `command`; at the end, the living bystanders are counted.
 */
async function amongBystanders(
  inner: string,
  args: string[],
): Promise<{ names: string[]; living: number; code: number; output: string; tookMs: number }> {
  const events = path.join(lab.folder, 'events');
  const [living, status] = [path.join(lab.folder, 'living'), path.join(lab.folder, 'status')];
  const outer =
    `i=0; while [ "$i" -lt ${BYSTANDERS} ]; do sleep 1000 & i=$((i + 1)); done; ` +
    `${OUTER_PROC.join(' ')} sh -c '${inner}' sh "$@" >'${events}'; echo $? >'${status}'; ` +
    `cat /proc/[0-9]*/stat | grep -c '(sleep) S 1 ' >'${living}'`;
  const startedAtMs = performance.now();
  const program = lab.run('unshare', [...OWN_PROC, 'sh', '-c', outer, 'sh', NODE, CLI, ...args], {
    DATABASE_URL: db.url,
  });
  await once(program, 'exit');
  return {
    names: readFileSync(events, 'utf8')
      .trim()
      .split('\n')
      .map((line) => parseAuditLine(line).event),
    living: Number(readFileSync(living, 'utf8')),
    code: Number(readFileSync(status, 'utf8')),
    output: lab.output,
    tookMs: performance.now() - startedAtMs,
  };
}

ifPossible(`a process with threads gets one SIGTERM, and is counted once ${why}`, async () => {
  const [program, ready] = [path.join(lab.folder, 'two.mjs'), path.join(lab.folder, 'ready')];
  spawnSync('mkfifo', [ready]);
  writeFileSync(
    program,
    `import { writeFileSync } from 'node:fs';
    let n = 0;
    process.on('SIGTERM', () => { console.error('got', ++n); setTimeout(() => process.exit(), 500); });
    writeFileSync('${ready}', 'ready\\n');
    setInterval(() => 0, 1000);`,
  );
  // In its own namespace no other process takes ids: those of the threads follow that of their process.
  const script = `'${process.execPath}' '${program}' & read word <'${ready}'`;
  const run = [NODE, CLI, 'run', '--', 'sh', '-c', script];
  const leftover = lab.run('unshare', [...OWN_PROC, ...run], { DATABASE_URL: db.url });
  expect(await once(leftover, 'exit')).toEqual([0, null]);
  expect(lab.output.match(/got/g)).toHaveLength(1);
  expect(lab.output).toContain('the command left 1 process running');
});

ifPossible(`with the /proc of another PID namespace, only the group is signalled ${why}`, async () => {
  const end = await amongBystanders('exec "$@"', ['run', '--', 'sh', '-c', 'sleep 0.2; exit 3']);
  expect(end.code).toBe(3);
  expect(end.names.slice(-2)).toEqual(['lock.released', 'run.finished']);
  expect(end.names.filter((name) => name === 'child.unseen')).toHaveLength(1);
  expect(end.output).toContain('/proc is not there, or is that of another PID namespace');
  expect(end.names).not.toContain('child.leftover');
  expect(end.living).toBe(BYSTANDERS);
});

ifPossible(`with it, leftover processes are ended although no process reaps them ${why}`, async () => {
  const command = ['sh', '-c', 'sh -c "trap \\"\\" TERM; while :; do sleep 0.1; done" & sleep 0.2; exit 4'];
  const end = await amongBystanders('exec "$@"', ['run', '--kill-grace', '300ms', '--', ...command]);
  expect(end.code).toBe(4);
  expect(end.names.slice(-3)).toEqual(['child.leftover', 'lock.released', 'run.finished']);
  expect(end.living).toBe(BYSTANDERS);
});

ifPossible(`with it, each process of the group gets one SIGTERM ${why}`, async () => {
  const count = 'let n = 0; process.on("SIGTERM", () => console.error("got", ++n)); console.error("up")';
  const script = `'${process.execPath}' -e '${count}; setInterval(() => 0, 1000)' & sleep 1; exit 0`;
  const end = await amongBystanders('exec "$@"', ['run', '--kill-grace', '1s', '--', 'sh', '-c', script]);
  expect(end.code).toBe(0);
  expect(end.output).toContain('got 1');
  expect(end.output).not.toContain('got 2');
});

ifPossible(`with it, the deadline ends the command ${why}`, async () => {
  const end = await amongBystanders('exec "$@"', [
    'run',
    '--ttl',
    '2s',
    '--kill-grace',
    '300ms',
    '--',
    'sh',
    '-c',
    'trap "" TERM; while :; do sleep 0.1; done',
  ]);
  expect(end.code).toBe(124);
  expect(end.names.slice(-2)).toEqual(['lock.released', 'run.finished']);
  expect(end.living).toBe(BYSTANDERS);
});

ifPossible(`with it, the guard of a killed holder ends the group and releases the lease ${why}`, async () => {
  const [started, gone] = [path.join(lab.folder, 'started'), path.join(lab.folder, 'gone')];
  const child = `echo $$ >'${started}'; trap 'echo >"${gone}"; exit' TERM; while :; do sleep 0.1; done`;
  // The inner PID 1 reaps only its own children; a shell reaps others.
  const inner = `"$@" & until [ -s ${started} ]; do sleep 0.05; done; kill -9 $!; until [ -e ${lab.folder}/over ]; do sleep 0.1; done`;
  const over = amongBystanders(inner, ['run', '--ttl', '10m', '--', 'sh', '-c', child]);
  await waitFor('the release by the guard', async () => {
    if (!existsSync(started)) return false;
    const rows = await db.sql`
      SELECT FROM migrate_lock.migration_lock WHERE released_by = 'guard' AND released_at > now() - interval '1 minute'`;
    return rows.length === 1;
  });
  spawnSync('touch', [path.join(lab.folder, 'over')]);
  const { living } = await over;
  expect(existsSync(gone)).toBe(true);
  expect(living).toBe(BYSTANDERS);
});
