/** The executable that `npm run build:binary` makes. All other tests run on it with MIGRATE_LOCK_BIN. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { ROOT } from '../../support/documents.js';
import { EXECUTABLE } from '../../support/executable.js';
import { waitUntilGone } from '../../support/processes.js';
import { assertNothingLeft, CLI, runCli, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

const LARGEST_BYTES = 115e6;
/** glibc's own parts, and those of the compiler. */
const LIBRARIES = /^(linux-vdso|ld-linux-\S+|lib(c|m|dl|pthread|stdc\+\+|gcc_s))\.so(\.\d+)?$/;
const NEWEST_GLIBC = 28;

const isBuilt = existsSync(EXECUTABLE);
const has = (program: string) => isBuilt && spawnSync(program, ['--version']).error === undefined;

let db: TestDatabase;
let folder: string;

beforeAll(async () => {
  db = await createDatabase();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-executable-'));
});
afterEach(async () => {
  await assertNothingLeft();
  rmSync(folder, { recursive: true });
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(() => db.drop());

const start = (args: string[], env: Record<string, string> = {}, executable = EXECUTABLE) =>
  startCli(args, { env: { DATABASE_URL: db.url, ...env }, executable });

(isBuilt ? describe : describe.skip)('the executable (skipped where it was not built)', () => {
  test('is small enough, and names no path of the machine that built it', () => {
    expect(statSync(EXECUTABLE).size).toBeLessThanOrEqual(LARGEST_BYTES);
    const bytes = readFileSync(EXECUTABLE);
    for (const place of [ROOT, `${homedir()}/`, join(tmpdir(), 'migrate-lock-binary-')])
      expect(place.length > 2 && bytes.includes(place)).toBe(false);
  });

  test('has the licences of what is in it', () => {
    const bytes = readFileSync(EXECUTABLE);
    for (const text of ['\npostgres 3.', '\ncommander 14.', 'Node.js is licensed for use as follows'])
      expect(bytes.includes(text)).toBe(true);
  });

  (has('ldd') ? test : test.skip)(
    'needs only the libraries of glibc and of its compiler (skipped without ldd)',
    () => {
      const { stdout } = spawnSync('ldd', [EXECUTABLE], { encoding: 'utf8' });
      const names = stdout
        .trim()
        .split('\n')
        .map((line) => basename(line.trim().split(/\s/)[0] ?? ''));
      expect(names).toContain('libc.so.6');
      expect(names.filter((name) => !LIBRARIES.test(name))).toEqual([]);
    },
  );

  (has('readelf') ? test : test.skip)(
    'runs on glibc 2.28, and has no symbols that only a debugger needs (skipped without readelf)',
    () => {
      const { stdout } = spawnSync('readelf', ['--version-info', '--sections', '--wide', EXECUTABLE], {
        encoding: 'utf8',
      });
      const needed = [...stdout.matchAll(/Name: GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
      expect(needed.length).toBeGreaterThan(5);
      expect(Math.max(...needed)).toBeLessThanOrEqual(NEWEST_GLIBC);
      expect(stdout).not.toMatch(/\.symtab|\.debug_/);
    },
  );

  test.each([['--version'], ['--help'], ['run', '--help'], ['status', '--help'], ['nonsense'], []])(
    'says what the package says: %s %s',
    async (...args) => {
      const [ours, theirs] = [
        await runCli(args, { executable: EXECUTABLE, auditOnly: false }),
        await runCli([CLI, ...args], { executable: process.execPath, auditOnly: false }),
      ];
      expect(ours).toEqual(theirs);
    },
  );

  test('takes no NODE_OPTIONS, and passes them on to the command', async () => {
    const preloaded = join(folder, 'preloaded.cjs');
    writeFileSync(preloaded, 'process.exit(99)');
    const options = `--require ${preloaded} --inspect-brk=127.0.0.1:0 --not-an-option`;
    const show = ['run', '--', 'sh', '-c', 'echo "options=$NODE_OPTIONS"'];
    const { code, stderr } = await start(show, { NODE_OPTIONS: options }).done;
    expect(code).toBe(0);
    expect(stderr).toContain(`options=${options}\n`);
    expect(stderr).not.toMatch(/Debugger|Warning/);
  });

  test('runs with 2 GB of virtual memory, as docs/executable.md says', async () => {
    const through = ['sh', '-c', 'ulimit -v 2000000; exec "$@"', 'sh'];
    const { code } = await runCli(['run', '--', 'true'], {
      env: { DATABASE_URL: db.url },
      executable: EXECUTABLE,
      through,
    });
    expect(code).toBe(0);
  });

  test('hands words over to the command that Node.js would take for options', async () => {
    const { code, stderr } = await start(['run', '--', 'echo', '--inspect', '--node-options=x', '-v']).done;
    expect({ code, said: stderr.includes('--inspect --node-options=x -v\n') }).toEqual({
      code: 0,
      said: true,
    });
  });

  test('loads what few runs need', async () => {
    const metrics = join(folder, 'metrics');
    const { code } = await start(['run', '--metrics-file', metrics, '--', 'true']).done;
    expect(code).toBe(0);
    expect(readFileSync(metrics, 'utf8')).toContain('migrate_lock_');
  });

  test.each(['removed', 'replaced'])(
    'releases the lease of a killed holder after its file was %s',
    async (how) => {
      const copy = join(folder, 'migrate-lock');
      copyFileSync(EXECUTABLE, copy);
      const holder = start(['run', '--ttl', '10m', '--', 'sleep', '1000'], {}, copy);
      const { childPid } = await holder.waitForEvent('child.started');
      rmSync(copy);
      if (how === 'replaced') {
        writeFileSync(copy, `#!/bin/sh\ntouch '${folder}/other'\n`);
        chmodSync(copy, 0o755);
      }
      holder.kill('SIGKILL');
      await waitUntilGone(childPid);
      const released = () =>
        db.sql`SELECT FROM migrate_lock.migration_lock_audit WHERE event = 'lock.released' AND details ->> 'by' = 'guard'`;
      await waitFor('the release', async () => (await released()).length === 1, { limitMs: 10_000 });
      expect(existsSync(join(folder, 'other'))).toBe(false);
    },
  );
});
