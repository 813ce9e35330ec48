import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { parseAuditLine } from '../../support/audit-line.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { allBlocks, DOCUMENTS } from '../../support/documents.js';
import { assertNothingLeft } from '../../support/run-cli.js';
import { execute, installPacked, packElsewhere, ROOT } from './installed-package.js';
import { STRICT_PROGRAM, WHAT_IS_TAKEN_FOR_GRANTED } from './strict-program.js';

let db: TestDatabase;
let folder: string;
/** A folder in which only the tarball was installed. */
let consumer: string;
let tarball: string;

beforeAll(async () => {
  db = await createDatabase();
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-package-'));
  ({ tarball, consumer } = await installPacked(folder));
}, 180_000);
afterEach(() => assertNothingLeft());
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await db.drop();
});

/** Runs a program where the package is installed. */
const use = (...command: string[]) => execute(command, consumer, { DATABASE_URL: db.url });

describe('the package', () => {
  const installed = () => join(consumer, 'node_modules', 'migrate-lock');
  const packed = () => filesIn(installed());
  const types = () => packed().filter((path) => path.startsWith('dist/types/'));

  test('has only what is needed to run', () => {
    expect(packed().filter((path) => !types().includes(path))).toEqual([
      'LICENSE',
      'README.md',
      'dist/THIRD-PARTY-LICENSES.txt',
      'dist/drawing.cjs',
      'dist/event.schema.json',
      'dist/index.js',
      'dist/migrate-lock.cjs',
      'dist/prometheus.cjs',
      'dist/saslprep.cjs',
      ...DOCUMENTS.filter((path) => path.startsWith('docs/')),
      'package.json',
    ]);
    expect(types().filter((path) => !path.endsWith('.d.ts'))).toEqual([]);
  });

  test("has the library's types, with all that they need, and none of the command line", () => {
    const needed = closure('dist/types/index.d.ts', (path) => read(installed(), path));
    expect(types()).toEqual(expect.arrayContaining(needed));
    const sources = closure('src/index.ts', (path) => read(ROOT, path)).map((path) =>
      path.replace(/^src/, 'dist/types').replace(/\.ts$/, '.d.ts'),
    );
    expect(types().filter((path) => !sources.includes(path))).toEqual([]);
  });

  test('names no path of the machine that built it, and no registry', () => {
    const places = [ROOT.replace(/\/$/, ''), folder, `${homedir()}/`].filter((place) => place.length > 2);
    const naming = packed().filter((path) => {
      const text = read(installed(), path);
      return places.some((place) => text.includes(place)) || /\bregistry\.[a-z]+\.[a-z]+/.test(text);
    });
    expect(naming).toEqual([]);
  });

  test('has no install scripts, and neither have its dependencies', () => {
    const { scripts = {} } = JSON.parse(read(installed(), 'package.json')) as { scripts?: object };
    expect(Object.keys(scripts).filter((name) => /^(pre|post)?(install|prepare)$/.test(name))).toEqual([]);
    const tree = read(consumer, 'node_modules/.package-lock.json');
    expect(tree).toContain('node_modules/migrate-lock');
    expect(tree).not.toContain('hasInstallScript');
  });

  test('depends on the packages that it uses, and on theirs', () => {
    const brought = readdirSync(join(consumer, 'node_modules')).filter((name) => !name.startsWith('.'));
    const own = [
      'chalk',
      'cli-truncate',
      'commander',
      'fastest-levenshtein',
      'migrate-lock',
      'nanoid',
      'postgres',
      'prom-client',
    ];
    const ofSaslprep = ['@mongodb-js', 'memory-pager', 'sparse-bitfield'];
    const ofPromClient = ['@opentelemetry', 'bintrees', 'tdigest'];
    const ofCliTruncate = ['ansi-regex', 'ansi-styles', 'get-east-asian-width', 'is-fullwidth-code-point'];
    const others = [
      ...ofSaslprep,
      ...ofPromClient,
      ...ofCliTruncate,
      'slice-ansi',
      'string-width',
      'strip-ansi',
    ];
    expect(brought.sort()).toEqual([...own, ...others].sort());
  });

  test('has the licences of all packages that are bundled in it', () => {
    const text = read(installed(), 'dist/THIRD-PARTY-LICENSES.txt');
    const named = [...text.matchAll(/^(\S+) (\d\S+) \((\S+)\)$/gm)].map(([, name]) => name);
    // What installing them brings is what the bundle was made from: a package that is left out is not used.
    const lock = JSON.parse(read(consumer, 'package-lock.json')) as { packages: Record<string, object> };
    const brought = Object.keys(lock.packages).flatMap((path) => path.split('node_modules/').slice(-1));
    expect(new Set(named).size).toBe(named.length);
    expect(brought).toEqual(expect.arrayContaining(named));
    for (const name of ['chalk', 'commander', 'nanoid', 'postgres', 'prom-client', '@mongodb-js/saslprep'])
      expect(named).toContain(name);
    // A licence whose text has a notice of copyright is there with it.
    expect(text.match(/copyright|unlicense/gi)?.length).toBeGreaterThanOrEqual(named.length);
    // Bundled packages keep their names in the bundle's own list of sources.
    expect(named.length).toBeGreaterThanOrEqual(18);
  });

  test('has a reason in CONTRIBUTING for each dependency', () => {
    const { dependencies } = JSON.parse(read(ROOT, 'package.json')) as { dependencies: object };
    const [, table = ''] = read(ROOT, 'CONTRIBUTING.md').split('## Runtime dependencies, and why');
    const reasons = [...table.matchAll(/^\| ([\w@/-]+) \| \S.* \|$/gm)].map(([, name]) => name);
    expect(reasons.filter((name) => name !== 'package' && name !== '---').sort()).toEqual(
      Object.keys(dependencies).sort(),
    );
  });

  test('is identical, byte for byte, when it is built again in another folder', async () => {
    const isSame = readFileSync(await packElsewhere(folder)).equals(readFileSync(tarball));
    expect(isSame ? 'the same' : 'another: if dist/ is older than src/, npm run build').toBe('the same');
  }, 120_000);
});

describe('the installed command line', () => {
  const ask = ['sh', '-c', 'echo "it ran under $MIGRATE_LOCK_FENCING_TOKEN as $PGAPPNAME"; exit 7'];

  test.each([
    ['npx migrate-lock', ['npx', 'migrate-lock']],
    ['node_modules/.bin/migrate-lock', ['node_modules/.bin/migrate-lock']],
  ])('%s run -- ...', async (_, program) => {
    const { code, stdout, stderr } = await use(...program, 'run', '--ttl', '60s', '--', ...ask);
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

  test('writes metrics', async () => {
    const { code, stderr } = await use(
      'npx',
      'migrate-lock',
      'run',
      '--metrics-file',
      'm.prom',
      '--',
      'true',
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.not.stringContaining('metrics') });
    expect(read(consumer, 'm.prom')).toContain('\nmigrate_lock_exit_code{');
  });

  test.each([
    ['drawing', ['ERASE', 'fitted']],
    ['prometheus', ['toPrometheusText']],
    ['saslprep', ['saslprep']],
  ])('loads %s.cjs on demand, which has the exports that are used', async (name, used) => {
    const dist = join(consumer, 'node_modules', 'migrate-lock', 'dist');
    expect(read(dist, 'migrate-lock.cjs').includes(`import("./${name}.cjs")`)).toBe(true);
    const program = `import(process.argv[1]).then((module) => console.log(Object.keys(module).join()))`;
    const { stdout } = await use('node', '-e', program, join(dist, `${name}.cjs`));
    expect(stdout.trim().split(',')).toEqual(expect.arrayContaining(used));
  });

  test('prints its version', async () => {
    const { version } = JSON.parse(read(ROOT, 'package.json')) as { version: string };
    expect(await use('node_modules/.bin/migrate-lock', '--version')).toMatchObject({
      code: 0,
      stdout: `${version}\n`,
    });
  });
});

describe('the installed library', () => {
  test('can be imported, locks, and lets Node exit', async () => {
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
    const { code, stdout, stderr } = await use('node', 'use.mjs');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({
      acquired: true,
      refused: true,
      released: true,
      worked: true,
      state: 'free',
    });
  });

  test('can be required by CommonJS, where Node can', async () => {
    writeFileSync(
      join(consumer, 'use.cjs'),
      `const viaImport = import('migrate-lock');
       viaImport.then(({ withMigrationLock }) =>
         withMigrationLock({ connection: process.env.DATABASE_URL }, async ({ fencingToken }) => {
           const required = process.features.require_module ? Object.keys(require('migrate-lock')) : null;
           const { version } = require('migrate-lock/package.json');
           console.log(JSON.stringify({ held: fencingToken > 0, required, version }));
         }));`,
    );
    const { code, stdout, stderr } = await use('node', 'use.cjs');
    expect({ code, stderr: stderr.replaceAll(/^\(.*\n/gm, '') }).toEqual({ code: 0, stderr: '' });
    const { held, required, version } = JSON.parse(stdout) as Record<string, unknown>;
    expect({ held, version }).toEqual({ held: true, version: expect.stringMatching(/^\d+\.\d+\.\d+/) });
    if (required !== null)
      expect(required).toEqual(expect.arrayContaining(['MigrationLock', 'withMigrationLock']));
  });

  test.each([
    ['CommonJS', 'commonjs', "import lock = require('migrate-lock');"],
    ['an ES module', 'module', "import * as lock from 'migrate-lock';"],
  ])('is used by a TypeScript program that is compiled to %s, and runs', async (_, type, line) => {
    const project = join(consumer, `typescript-${type}`);
    mkdirSync(project);
    writeFileSync(join(project, 'package.json'), JSON.stringify({ type }));
    const imported = type === 'module' ? line : "const loading = import('migrate-lock');";
    const name = type === 'module' ? 'lock' : '(await loading)';
    writeFileSync(
      join(project, 'use.ts'),
      `${imported}
       const main = async (): Promise<void> => {
         const connection = process.env.DATABASE_URL ?? '';
         const token: number = await ${name}.withMigrationLock({ connection }, async ({ fencingToken }) => fencingToken);
         console.log(token > 0);
       };
       void main();`,
    );
    const compiler = COMPILER.filter((word) => word !== '--noEmit');
    const compiled = await use(...compiler, join(project, 'use.ts'));
    expect({ code: compiled.code, stdout: compiled.stdout }).toEqual({ code: 0, stdout: '' });
    expect(await use('node', join(project, 'use.js'))).toMatchObject({ code: 0, stdout: 'true\n' });
  });

  test('exports no internal module', async () => {
    writeFileSync(join(consumer, 'inside.mjs'), `await import('migrate-lock/dist/index.js');`);
    const { code, stderr } = await use('node', 'inside.mjs');
    expect(code).toBe(1);
    expect(stderr).toContain('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });

  test('includes the schema of its events', async () => {
    writeFileSync(
      join(consumer, 'schema.mjs'),
      `import { createRequire } from 'node:module';
       console.log(JSON.stringify(createRequire(import.meta.url)('migrate-lock/event.schema.json')));`,
    );
    const { stdout } = await use('node', 'schema.mjs');
    expect(JSON.parse(stdout)).toEqual(JSON.parse(read(ROOT, 'src/events/event.schema.json')));
  });

  test("has types that strict programs and the documents' examples compile with, and that reject errors", async () => {
    const shown = allBlocks('ts').map(({ text }, at) => ({ file: `shown-${at}.mts`, text }));
    expect(shown.length).toBeGreaterThan(1);
    for (const { file, text } of shown) writeFileSync(join(consumer, file), text + WHAT_IS_TAKEN_FOR_GRANTED);
    writeFileSync(join(consumer, 'strict.mts'), STRICT_PROGRAM);
    const { code, stdout } = await use(...COMPILER, 'strict.mts', ...shown.map(({ file }) => file));
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
  }, 120_000);
});

/** The compiler of this repository and Node's types; everything else is in the installed package. */
const COMPILER = [
  ...['node', join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '--noEmit', '--strict'],
  ...['--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--skipLibCheck', 'false'],
  ...['--target', 'es2022', '--module', 'nodenext', '--moduleResolution', 'nodenext'],
  ...['--typeRoots', join(ROOT, 'node_modules', '@types'), '--types', 'node'],
];

/** The module and all modules of the package that it imports, directly or not. */
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
  const names = readdirSync(place, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => statSync(join(place, name)).isFile()).sort();
}

function read(place: string, path: string): string {
  return readFileSync(join(place, path), 'utf8');
}
