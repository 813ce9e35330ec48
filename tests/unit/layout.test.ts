import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LONGEST = 350;

/** Every file of the program with its text, such as `src/lock/wait-for-lease.ts`. */
const SOURCES = ['bin', 'src', 'sql'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(ROOT, folder, name)).isFile())
    .map((name) => ({ path: join(folder, name), text: readFileSync(join(ROOT, folder, name), 'utf8') })),
);
const TYPESCRIPT = SOURCES.filter(({ path }) => path.endsWith('.ts'));

/** `src/lock/wait-for-lease.ts` belongs to `src/lock`, `src/errors.ts` to `src/errors`. */
function unitOf(path: string): string {
  return path
    .replace(/\.[jt]s$/, '')
    .split('/')
    .slice(0, 2)
    .join('/');
}

/** The imports of each unit, types included, such as `src/db/classify.js`; packages by their names. */
const IMPORTS = TYPESCRIPT.flatMap(({ path, text }) =>
  [...text.matchAll(/(?:^|\s|\()(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g)].map(([, specifier = '']) => ({
    importer: path,
    imported: specifier.startsWith('.') ? join(dirname(path), specifier) : specifier,
  })),
);

/** Every import that a unit may not have, as `src/lock/a.ts -> src/child/b.js`. */
function breaches(importer: (unit: string) => boolean, imported: (unit: string) => boolean): string[] {
  return IMPORTS.filter((edge) => importer(unitOf(edge.importer)) && imported(unitOf(edge.imported))).map(
    (edge) => `${edge.importer} -> ${edge.imported}`,
  );
}

/** Data flows from the top: a unit imports only what is listed for it and what every unit may import. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  bin: ['src/cli'],
  'src/cli': [
    'src/doctor',
    ...['src/run', 'src/watch', 'src/recover', 'src/admin', 'src/lock', 'src/schema', 'src/db', 'src/redact'],
    ...['src/output', 'src/ui', 'src/metrics'],
  ],
  'src/doctor': [
    ...['src/run', 'src/recover', 'src/lock', 'src/child', 'src/schema', 'src/db', 'src/ui'],
    ...['src/redact', 'src/generated'],
  ],
  'src/index': ['src/library', 'src/lock'],
  'src/library': ['src/admin', 'src/lock', 'src/schema', 'src/db', 'src/redact'],
  'src/watch': ['src/run', 'src/lock', 'src/child', 'src/db'],
  'src/run': ['src/recover', 'src/lock', 'src/child', 'src/schema', 'src/db', 'src/redact'],
  // Knows tools and the database, not the child: only src/run and src/cli call it.
  'src/recover': ['src/lock', 'src/schema', 'src/db', 'src/redact', 'src/generated'],
  'src/admin': ['src/lock', 'src/schema', 'src/db', 'src/generated'],
  'src/lock': ['src/schema', 'src/db', 'src/redact', 'src/generated'],
  'src/schema': ['src/db', 'src/generated'],
  'src/db': ['src/generated'],
  'src/child': ['src/generated'],
  'src/ui': ['src/output', 'src/redact'],
  // Reads the stream of events only, as output and ui do.
  'src/metrics': [],
  'src/redact': [],
  'src/events': ['src/output'],
  'src/output': [],
  'src/text': [],
  'src/system': [],
  'src/generated': [],
  'src/errors': [],
  'src/exit-codes': [],
};
/** Errors, the list of events, durations, sentences, and error codes of the operating system. */
const KNOWN_TO_ALL = ['src/errors', 'src/exit-codes', 'src/events', 'src/text', 'src/system'];

describe('the direction of imports', () => {
  test('finds the imports of every source', () => {
    expect(TYPESCRIPT.length).toBeGreaterThan(50);
    expect(IMPORTS).toContainEqual({ importer: 'bin/migrate-lock.ts', imported: 'src/cli/main.js' });
    expect(IMPORTS).toContainEqual({ importer: 'src/run/run.ts', imported: 'src/lock/wait-for-lease.js' });
    expect(IMPORTS).toContainEqual({ importer: 'src/index.ts', imported: 'src/errors.js' });
  });

  test.each(Object.entries(MAY_IMPORT))('%s imports only from the layers below', (unit, below) => {
    const importer = (name: string) => name === unit || (unit === 'bin' && name.startsWith('bin/'));
    const allowed = new Set([unit, ...below, ...KNOWN_TO_ALL]);
    expect(breaches(importer, (name) => name.startsWith('src/') && !allowed.has(name))).toEqual([]);
  });

  test('every folder and every file of src/ is listed', () => {
    const units = new Set(
      TYPESCRIPT.map(({ path }) => unitOf(path)).filter((unit) => unit.startsWith('src/')),
    );
    expect([...units].filter((unit) => !(unit in MAY_IMPORT))).toEqual([]);
  });

  test('src/lock does not import src/child, and src/child imports neither src/lock nor src/db', () => {
    expect(
      breaches(
        (unit) => unit === 'src/lock',
        (unit) => /^src\/(child|run|cli)$/.test(unit),
      ),
    ).toEqual([]);
    expect(
      breaches(
        (unit) => unit === 'src/child',
        (unit) => /^src\/(lock|db|schema|run|cli)$|^postgres$/.test(unit),
      ),
    ).toEqual([]);
  });

  test('only bin/ imports src/cli, and nothing imports the public entry', () => {
    expect(
      breaches(
        (unit) => !unit.startsWith('bin/') && unit !== 'src/cli',
        (unit) => unit === 'src/cli',
      ),
    ).toEqual([]);
    expect(
      breaches(
        () => true,
        (unit) => unit === 'src/index',
      ),
    ).toEqual([]);
  });

  test('only the command doctor imports src/doctor', () => {
    expect(
      breaches(
        (unit) => unit !== 'src/doctor',
        (unit) => unit === 'src/doctor',
      ),
    ).toEqual(['src/cli/commands/doctor.ts -> src/doctor/doctor.js']);
  });

  // In the one file of the command line, an import() of another module would only make its code be compiled twice.
  test('import() loads only files of their own and modules of Node.js', () => {
    const build = readFileSync(join(ROOT, 'scripts', 'build.mjs'), 'utf8');
    const [, listed = ''] = /^const ON_DEMAND = \[(.*)\];$/m.exec(build) ?? [];
    const onDemand = [...listed.matchAll(/'([^']+)\.ts'/g)].map(([, file = '']) => `${file}.js`);
    const loaded = TYPESCRIPT.flatMap(({ path, text }) =>
      [...text.matchAll(/\bimport\('([^']+)'\)/g)]
        .map(([, name = '']) => name)
        .filter((name) => !name.startsWith('node:'))
        .map((name) => join(dirname(path), name)),
    );
    expect(onDemand.length).toBeGreaterThan(0);
    expect([...new Set(loaded)].sort()).toEqual(onDemand.sort());
  });

  test('no file imports itself through others', () => {
    const imports = new Map<string, string[]>();
    for (const { importer, imported } of IMPORTS) {
      imports.set(importer, [...(imports.get(importer) ?? []), imported.replace(/\.js$/, '.ts')]);
    }
    const circles: string[] = [];
    const done = new Set<string>();
    const follow = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' -> '));
      if (path.includes(file) || done.has(file)) return;
      for (const next of imports.get(file) ?? []) follow(next, [...path, file]);
      done.add(file);
    };
    for (const file of imports.keys()) follow(file, []);
    expect(circles).toEqual([]);
  });

  test('src/ itself has only the three public files', () => {
    const files = TYPESCRIPT.map(({ path }) => path).filter((path) => /^src\/[^/]+$/.test(path));
    expect(files.sort()).toEqual(['src/errors.ts', 'src/exit-codes.ts', 'src/index.ts']);
  });

  test('a unit that every other may import imports nothing', () => {
    const known = new Set([...KNOWN_TO_ALL, 'src/output']);
    expect(
      breaches(
        (unit) => KNOWN_TO_ALL.includes(unit),
        (unit) => unit.startsWith('src/') && !known.has(unit),
      ),
    ).toEqual([]);
  });
});

describe('only bin/ controls the process', () => {
  const OWNED = /\bprocess\s*(?:\?\.|\.)\s*(?:exit|exitCode|abort|reallyExit|stdout)\b|\bconsole\s*\./;

  test('the pattern matches what it should', () => {
    for (const text of ['process.exit(1)', 'process.exitCode = 1', 'process.stdout.write', 'console.log']) {
      expect(text).toMatch(OWNED);
    }
    expect(TYPESCRIPT.filter(({ text }) => OWNED.test(code(text))).map(({ path }) => path)).toContain(
      'bin/migrate-lock.ts',
    );
  });

  test('nothing in src/ ends the process or writes to stdout', () => {
    const offenders = TYPESCRIPT.filter(
      ({ path, text }) => path.startsWith('src/') && OWNED.test(code(text)),
    );
    expect(offenders.map(({ path }) => path)).toEqual([]);
  });

  test('bin/ has at most 15 lines', () => {
    const entry = TYPESCRIPT.find(({ path }) => path === 'bin/migrate-lock.ts');
    expect(lines(entry?.text ?? '')).toBeGreaterThan(0);
    expect(lines(entry?.text ?? '')).toBeLessThanOrEqual(15);
  });
});

describe('sources', () => {
  const WRITTEN = SOURCES.filter(({ path }) => !path.startsWith('src/generated/'));

  test(`have at most ${LONGEST} lines`, () => {
    expect(WRITTEN.filter(({ path }) => path.endsWith('.ts')).length).toBeGreaterThan(50);
    const long = WRITTEN.filter(({ path, text }) => !path.endsWith('.json') && lines(text) > LONGEST);
    expect(long.map(({ path, text }) => `${path}: ${lines(text)}`)).toEqual([]);
  });

  test('each class of error writes out its name, which minifying does not keep', () => {
    const declared = TYPESCRIPT.flatMap(({ text }) => [
      ...text.matchAll(/class (\w+) extends MigrateLockError \{\n(.*)\n/g),
    ]);
    expect(declared.length).toBeGreaterThan(3);
    for (const [, name, first = ''] of declared) expect(first).toContain(`readonly name = '${name}';`);
  });

  test('have a name that says what they do', () => {
    expect(WRITTEN.map(({ path }) => path).filter((path) => /util|helper|misc|common/i.test(path))).toEqual(
      [],
    );
  });
});

/** The text without its comments, which may name what the code must not use. */
function code(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, '');
}

function lines(text: string): number {
  return text.trimEnd().split('\n').length;
}
