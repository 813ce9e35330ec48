import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { SupervisorLab } from '../child/supervisor-process.js';
import { parseAuditLine } from '../../support/audit-line.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { blocksOf } from '../../support/documents.js';
import { CLI, NODE } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

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

/** As in a container without an init: node is PID 1, and adopts every process whose parent ends. */
function start(...command: string[]) {
  const events = path.join(lab.folder, 'events');
  const call = 'events=$1; shift; exec "$@" >"$events"';
  const program = lab.run(
    'unshare',
    [...PID_1, 'sh', '-c', call, 'sh', events, NODE, CLI, 'run', '--', ...command],
    { DATABASE_URL: db.url },
  );
  return {
    program,
    ended: once(program, 'exit'),
    told: () => readFileSync(events, 'utf8').trim().split('\n').map(parseAuditLine),
  };
}

(mayUnshare ? test : test.skip)(
  'as PID 1: an adopted zombie delays neither the release nor the exit (skipped where unshare is not permitted)',
  async () => {
    // Its parent ends first, so that PID 1 adopts it and does not reap it: it stays in the command's group.
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
  'as PID 1: the stop signal of a container ends the command and its leftover processes (skipped where unshare is not permitted)',
  async () => {
    const { program, ended, told } = start('sh', '-c', '(sleep 1000 &); echo ready; exec sleep 1000');
    await lab.untilOutput('ready');
    // unshare forwards no signals: its only child is PID 1 there, and has another id here.
    const pid1 = readFileSync(`/proc/${program.pid}/task/${program.pid}/children`, 'utf8').trim();
    process.kill(Number(pid1), 'SIGTERM');
    expect(await ended).toEqual([143, null]);
    const names = told().map(({ event }) => event);
    expect(names).toContain('child.leftover');
    expect(names.slice(-2)).toEqual(['lock.released', 'run.finished']);
  },
);

const SHELLS = ['sh', 'bash', 'busybox'].filter(
  (shell) => spawnSync(shell, ['-c', 'true']).error === undefined,
);

/** The forms in README, with a `knex` and a `node` that write into the folder `told`. */
describe('the container entrypoints of README', () => {
  const shown = blocksOf('README.md').map(({ text }) => text);
  const entrypoint = shown.find((text) => text.startsWith('#!/bin/sh')) ?? '';
  const [initContainer = ''] = shown.flatMap(
    (text) => /(?<=^command: )\[.*migrate-lock.*\]$/m.exec(text) ?? [],
  );
  const tells = (name: string) => existsSync(path.join(lab.folder, name));

  /** Starts it as process 1 of a PID namespace, or, where that is not permitted, as an ordinary process. */
  function startEntrypoint(words: string[], knex: string) {
    const bin = path.join(lab.folder, 'bin');
    mkdirSync(bin);
    for (const [name, script] of [
      ['migrate-lock', `exec '${NODE}' '${CLI}' "$@"`],
      ['knex', knex],
      ['node', 'echo "$@" >"$TOLD/server"'],
    ] as const) {
      writeFileSync(path.join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    }
    const [program = '', ...args] = mayUnshare ? ['unshare', ...PID_1, ...words] : words;
    const shell = lab.run(program, args, {
      PATH: `${bin}:${process.env.PATH ?? ''}`,
      DATABASE_URL: db.url,
      GIT_SHA: path.basename(lab.folder),
      TOLD: lab.folder,
    });
    const children = () => readFileSync(`/proc/${shell.pid}/task/${shell.pid}/children`, 'utf8').trim();
    return {
      ended: once(shell, 'exit'),
      terminate: () => process.kill(mayUnshare ? Number(children()) : (shell.pid ?? NaN), 'SIGTERM'),
    };
  }

  const script = (shell: string) => {
    const file = path.join(lab.folder, 'entrypoint.sh');
    writeFileSync(file, entrypoint);
    return shell === 'busybox' ? ['busybox', 'sh', file] : [shell, file];
  };
  const DEAF_FOR_A_MOMENT = `trap 'touch "$TOLD/heard"; exit 9' TERM; touch "$TOLD/ready"; while :; do sleep 0.1; done`;

  async function expectReleased(by: string): Promise<void> {
    const [lease] =
      await db.sql`SELECT released_by, released_at IS NOT NULL AS released FROM migrate_lock.migration_lock`;
    expect(lease).toEqual({ released_by: by, released: true });
  }

  test('are found', () => {
    expect(entrypoint).toContain('exec node server.js');
    expect(initContainer).toContain('--once');
    expect(SHELLS).toContain('sh');
  });

  test.each(SHELLS)('%s: SIGTERM reaches the migration, and its exit code is returned', async (shell) => {
    const run = startEntrypoint(script(shell), DEAF_FOR_A_MOMENT);
    await waitFor('the migration', () => tells('ready'));
    run.terminate();
    expect(await run.ended).toEqual([9, null]);
    expect([tells('heard'), tells('server')]).toEqual([true, false]);
    await expectReleased('holder');
  });

  test.each(SHELLS)('%s: the server replaces the entrypoint after the migration', async (shell) => {
    expect(await startEntrypoint(script(shell), 'touch "$TOLD/ready"').ended).toEqual([0, null]);
    expect([tells('ready'), tells('server')]).toEqual([true, true]);
    expect(readFileSync(path.join(lab.folder, 'server'), 'utf8')).toBe('server.js\n');
  });

  test.each(SHELLS)('%s: no server starts without the migration', async (shell) => {
    expect(await startEntrypoint(script(shell), 'exit 3').ended).toEqual([3, null]);
    expect(tells('server')).toBe(false);
  });

  test('an init container: SIGTERM reaches the migration', async () => {
    const words = (JSON.parse(initContainer.replaceAll("'", '"')) as string[]).map((word) =>
      word.replace('$(GIT_SHA)', path.basename(lab.folder)),
    );
    const run = startEntrypoint(words, DEAF_FOR_A_MOMENT);
    await waitFor('the migration', () => tells('ready'));
    run.terminate();
    expect(await run.ended).toEqual([9, null]);
    await expectReleased('holder');
  });
});
