import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../harness/database.js';
import { parseAuditLine } from '../harness/audit-line.js';
import { assertNothingLeft, startCli } from '../harness/run-cli.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What a build needs. */
const SOURCES = [
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'README.md',
  'LICENSE',
  'bin',
  'src',
  'sql',
];

let db: TestDatabase;
let folder: string;
/** An empty folder in which the tarball was installed. */
let consumer: string;
let tarball: string;
let rebuilt: string;

beforeAll(async () => {
  db = await createDatabase();
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-package-'));
  consumer = join(folder, 'consumer');
  mkdirSync(consumer);
  // Of its own, so that npm does not look for one further up.
  writeFileSync(join(consumer, 'package.json'), '{ "name": "consumer", "private": true }');

  tarball = await pack(ROOT, '--ignore-scripts');
  await succeeds(['npm', 'install', '--no-audit', '--no-fund', '--prefer-offline', tarball], consumer);
  rebuilt = await pack(copyOfTheSources());
}, 180_000);
afterEach(() => assertNothingLeft());
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await db.drop();
});

describe('what is packed', () => {
  const installed = () => join(consumer, 'node_modules', 'migrate-lock');
  const packed = () => filesIn(installed());
  const types = () => packed().filter((path) => path.startsWith('dist/types/'));

  test('is what is needed to run, and nothing else', () => {
    expect(packed().filter((path) => !types().includes(path))).toEqual([
      'LICENSE',
      'README.md',
      'dist/audit-event.schema.json',
      'dist/index.js',
      'dist/migrate-lock.cjs',
      'package.json',
    ]);
    expect(types().filter((path) => !path.endsWith('.d.ts'))).toEqual([]);
  });

  test('has the types of the library, all that they need, and none of the command line', () => {
    const needed = closure('dist/types/index.d.ts', (path) => read(installed(), path));
    expect(types()).toEqual(expect.arrayContaining(needed));
    const sources = closure('src/index.ts', (path) => read(ROOT, path)).map((path) =>
      path.replace(/^src/, 'dist/types').replace(/\.ts$/, '.d.ts'),
    );
    expect(types().filter((path) => !sources.includes(path))).toEqual([]);
  });

  test('names no path of the machine that built it, and no registry', () => {
    const places = [ROOT, folder, `${homedir()}/`].filter((place) => place.length > 2);
    const naming = packed().filter((path) => {
      const text = read(installed(), path);
      return places.some((place) => text.includes(place)) || /\bregistry\.[a-z]+\.[a-z]+/.test(text);
    });
    expect(naming).toEqual([]);
  });

  test('runs nothing when it is installed, nor does anything that it brings', () => {
    const { scripts = {} } = JSON.parse(read(installed(), 'package.json')) as { scripts?: object };
    expect(Object.keys(scripts).filter((name) => /^(pre|post)?(install|prepare)$/.test(name))).toEqual([]);
    const tree = read(consumer, 'node_modules/.package-lock.json');
    expect(tree).toContain('node_modules/migrate-lock');
    expect(tree).not.toContain('hasInstallScript');
  });

  test('brings the four packages that it is built on', () => {
    const brought = readdirSync(join(consumer, 'node_modules')).filter((name) => !name.startsWith('.'));
    expect(brought.sort()).toEqual(['chalk', 'commander', 'migrate-lock', 'nanoid', 'postgres']);
  });

  test('is the same, byte for byte, when it is built again elsewhere', () => {
    const isSame = readFileSync(rebuilt).equals(readFileSync(tarball));
    expect(isSame ? 'the same' : 'another: if dist/ is older than src/, npm run build').toBe('the same');
  });
});

describe('the installed command line', () => {
  const ask = ['sh', '-c', 'echo "it ran under $MIGRATE_LOCK_FENCING_TOKEN as $PGAPPNAME"; exit 7'];

  test.each([
    ['npx migrate-lock', ['npx', 'migrate-lock']],
    ['node_modules/.bin/migrate-lock', ['node_modules/.bin/migrate-lock']],
  ])('%s run -- ...', async (_, program) => {
    const { code, stdout, stderr } = await shell([...program, 'run', '--ttl', '60s', '--', ...ask], consumer);
    expect({ code, stderr }).toMatchObject({
      code: 7,
      stderr: expect.stringMatching(/^it ran under \d+ as migrate-lock:/m),
    });
    const events = stdout.trimEnd().split('\n').map(parseAuditLine);
    expect(events.map(({ event }) => event).slice(-5)).toEqual([
      'lock.acquired',
      'child.started',
      'child.exited',
      'lock.released',
      'run.finished',
    ]);
  });

  test('tells its version', async () => {
    const { version } = JSON.parse(read(ROOT, 'package.json')) as { version: string };
    expect(await shell(['node_modules/.bin/migrate-lock', '--version'], consumer)).toMatchObject({
      code: 0,
      stdout: `${version}\n`,
    });
  });
});

describe('the installed library', () => {
  test('is imported, locks, and lets Node end by itself', async () => {
    writeFileSync(
      join(consumer, 'use.mjs'),
      `import { LockWaitTimeoutError, MigrationLock, withMigrationLock } from 'migrate-lock';
       const connection = process.env.DATABASE_URL;
       const lock = new MigrationLock({ connection });
       const acquired = await lock.acquire();
       const other = new MigrationLock({ connection, waitTimeoutMs: 200 });
       const refused = await other.wait().catch((error) => error instanceof LockWaitTimeoutError);
       const released = await lock.release();
       const worked = await withMigrationLock({ connection }, async ({ fencingToken }) => fencingToken > 0);
       console.log(JSON.stringify({ acquired, refused, released, worked, ...(await lock.status()) }));`,
    );
    const { code, stdout, stderr } = await shell(['node', 'use.mjs'], consumer);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({
      acquired: true,
      refused: true,
      released: true,
      worked: true,
      state: 'free',
    });
  });

  test('opens nothing of its inside', async () => {
    writeFileSync(join(consumer, 'inside.mjs'), `await import('migrate-lock/dist/index.js');`);
    const { code, stderr } = await shell(['node', 'inside.mjs'], consumer);
    expect(code).toBe(1);
    expect(stderr).toContain('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });

  test('brings the schema of its events', async () => {
    writeFileSync(
      join(consumer, 'schema.mjs'),
      `import { createRequire } from 'node:module';
       console.log(JSON.stringify(createRequire(import.meta.url)('migrate-lock/audit-event.schema.json')));`,
    );
    const { stdout } = await succeeds(['node', 'schema.mjs'], consumer);
    expect(JSON.parse(stdout)).toEqual(JSON.parse(read(ROOT, 'src/audit/audit-event.schema.json')));
  });

  test('has types that a strict program and what README shows can use, and that refuse what is wrong', async () => {
    const shown = [...read(ROOT, 'README.md').matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(
      ([, text = '']) => text,
    );
    expect(shown.length).toBeGreaterThan(0);
    writeFileSync(join(consumer, 'strict.mts'), STRICT_PROGRAM);
    writeFileSync(join(consumer, 'readme.mts'), shown.join('\n') + WHAT_README_TAKES_FOR_GRANTED);
    const { code, stdout } = await shell([...COMPILER, 'strict.mts', 'readme.mts'], consumer);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
  });
});

/** The compiler of this repository and Node's types; everything else comes from the installed package. */
const COMPILER = [
  ...['node', join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '--noEmit', '--strict'],
  ...['--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--skipLibCheck', 'false'],
  ...['--target', 'es2022', '--module', 'nodenext', '--moduleResolution', 'nodenext'],
  ...['--typeRoots', join(ROOT, 'node_modules', '@types'), '--types', 'node'],
];

const WHAT_README_TAKES_FOR_GRANTED = `
declare function migrate(options?: { signal: AbortSignal }): Promise<void>;
declare const sql: import('postgres').Sql;
`;

const STRICT_PROGRAM = `
import {
  LockWaitTimeoutError, MigrateLockError, MigrationLock, UsageError, withMigrationLock,
  type ErrorCode, type EventListener, type EventName, type HolderDescription, type Lease, type LockStatus,
  type MigrateLockEvent, type MigrationLockOptions, type Outcome, type WorkContext,
} from 'migrate-lock';

const onEvent: EventListener = (event: MigrateLockEvent) => {
  if (event.event !== 'run.finished') return;
  const outcome: Outcome = event.outcome;
  console.log(outcome, event.exitCode.toFixed());
};
const options: MigrationLockOptions = {
  connection: 'postgres://localhost/app', schema: 'a lock', ttlMs: 60_000, waitTimeoutMs: 0, pollIntervalMs: 500,
  signal: new AbortController().signal, onEvent, command: 'migrate',
};
const lock = new MigrationLock(options);
const acquired: boolean = await lock.acquire();
const lease: Lease = await lock.wait();
const status: LockStatus = await lock.status();
const holder: HolderDescription | null = status.lease;
const cleaned: number = await lock.cleanupExpiredLocks();
const released: boolean = await lock.release();
const answer: number = await withMigrationLock(options, async (work: WorkContext) => work.fencingToken + work.expiresAt.getTime());
const names: EventName[] = ['lock.acquired', 'run.finished'];
try {
  await lock.wait();
} catch (error) {
  if (error instanceof LockWaitTimeoutError) console.log(error.message, error.exitCode.toFixed());
  if (error instanceof UsageError || error instanceof MigrateLockError) {
    const code: ErrorCode = error.code;
    console.log(code, error.hint.length);
  }
}
console.log(acquired, lease.fencingToken.toFixed(), holder?.command, cleaned, released, answer, names);

// @ts-expect-error: durations are numbers of milliseconds
new MigrationLock({ connection: '', ttlMs: '30s' });
// @ts-expect-error: nobody guesses the database
new MigrationLock({});
// @ts-expect-error: there is no such event
const unknown: EventName = 'lock.stolen';
// @ts-expect-error: the secret is nobody's business
console.log(lease.secret, unknown);
`;

/** Packs the package in `source` into a folder of its own. */
async function pack(source: string, ...options: string[]): Promise<string> {
  const destination = mkdtempSync(join(folder, 'packed-'));
  await succeeds(['npm', 'pack', '--pack-destination', destination, ...options], source);
  const [name = '', ...more] = readdirSync(destination);
  expect(more).toEqual([]);
  return join(destination, name);
}

/** Another folder, with nothing built in it: packing it builds it. */
function copyOfTheSources(): string {
  const copy = join(folder, 'elsewhere');
  for (const name of SOURCES) cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

async function succeeds(command: string[], cwd: string) {
  const result = await shell(command, cwd);
  if (result.code !== 0) throw new Error(`${command.join(' ')}: ${result.stdout}${result.stderr}`);
  return result;
}

/** Runs any program as the harness runs the command line: found again if it is left, and with nothing that changes its ways. */
function shell(command: string[], cwd: string) {
  const path = [dirname(process.execPath), process.env.PATH].join(delimiter);
  const settings = Object.entries(process.env).filter(([name]) => NPM_SETTINGS.test(name));
  const env = { ...Object.fromEntries(settings), DATABASE_URL: db.url, PATH: path };
  return startCli(command, { program: ['-e', EXEC], auditOnly: false, cwd, env }).done;
}
/** How this machine reaches packages; the rest of what npm tells its scripts would lead a second npm astray. */
const NPM_SETTINGS = /^npm_config_(registry|cache|userconfig|globalconfig|proxy|https_proxy|noproxy|cafile)$/;
/** Node takes the place of a shell: it is what the harness starts. */
const EXEC = `
  const [file, ...args] = process.argv.slice(1);
  const { status, signal, error } = require('node:child_process').spawnSync(file, args, { stdio: 'inherit' });
  if (error) throw error;
  process.exitCode = signal === null ? status : 255;`;

/** The module and every module of the package that it imports, directly or not. */
function closure(entry: string, textOf: (path: string) => string): string[] {
  const found = new Set([entry]);
  for (const path of found) {
    for (const [, specifier = ''] of textOf(path).matchAll(
      /(?:from|import)\s*\(?\s*['"](\.[^'"]+)\.js['"]/g,
    )) {
      found.add(join(dirname(path), `${specifier}${path.endsWith('.d.ts') ? '.d.ts' : '.ts'}`));
    }
  }
  return [...found];
}

function filesIn(place: string): string[] {
  const entries = readdirSync(place, { recursive: true, withFileTypes: true, encoding: 'utf8' });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(place.length + 1))
    .sort();
}

function read(place: string, path: string): string {
  return readFileSync(join(place, path), 'utf8');
}
