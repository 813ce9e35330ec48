// Embeds sql/**/*.sql in src/generated/sql.ts, so that no file is read at run time.
// `node scripts/embed-sql.mjs` writes it, `node scripts/embed-sql.mjs --check` fails when it is not up to date.
import { readdirSync, readFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const here = path.join(root, 'sql');
const target = path.join(root, 'src', 'generated', 'sql.ts');

/**
 * The files in the order in which they are applied and printed, which is also the order to read them in. The statement that
 * grants the lease is in functions/acquire.sql.
 * @type {Record<string, readonly string[]>}
 */
const ORDER = {
  v1: ['schema', 'version', 'lock', 'waiter', 'run', 'unclean-end', 'history', 'access'],
  functions: [
    'acquire', // how an instance gets the lease
    'proof', // which instance holds it
    'release', // how it ends
    'hold', // what a holder can do with it
    'sessions', // the database sessions of a lease
    'unclean-end', // what a command may have left behind
    'once', // work that needs to succeed once
    'queue', // the waiters
    'watch', // the watchers of a run key
    'begin', // how a call begins
    'rate-limit', // how many attempts a client may make
    'history', // what happened
    'status', // the current state
    'activity', // what the lease's sessions do
    'blocking', // which sessions wait for them
    'unlock',
    'cleanup',
    'admission', // the roles that may use the lock
    'rights', // nothing for PUBLIC: after everything else
  ],
};

/** @param {string} folder */
function readFolder(folder) {
  const names = readdirSync(path.join(here, folder)).filter((name) => name.endsWith('.sql'));
  const ordered = ORDER[folder]?.map((name) => `${name}.sql`) ?? names.sort();
  const unlisted = names.filter((name) => !ordered.includes(name));
  if (unlisted.length > 0) throw new Error(`sql/${folder}/${unlisted[0]} has no place in ORDER`);
  return ordered.map((name) => {
    const sql = readFileSync(path.join(here, folder, name), 'utf8');
    for (const [index, line] of sql.split('\n').entries()) {
      // A schema name with a line break would end the comment.
      if (line.includes('--') && /["']migrate_lock["']/.test(line.slice(line.indexOf('--')))) {
        throw new Error(
          `sql/${folder}/${name}:${index + 1}: the schema placeholder must not stand in a comment`,
        );
      }
    }
    return { name: `${folder}/${name}`, sql };
  });
}

const versions = readdirSync(here)
  .flatMap((name) => /^v(\d+)$/.exec(name)?.[1] ?? [])
  .map(Number)
  .sort((a, b) => a - b);

/** With this comment in front, a pgpool-II that balances load sends a SELECT to the primary. */
const ON_PRIMARY = '/*NO LOAD BALANCE*/ ';

const callFiles = readFolder('calls');
/** The functions that are called. grant_functions() is called only by the owner of the lock, after the check. */
const called = [
  ...new Set(
    callFiles
      .flatMap(({ sql }) => [...sql.matchAll(/"migrate_lock"\.(\w+)\(/g)])
      .flatMap(([, name]) => (name === undefined || name === 'grant_functions' ? [] : [name])),
  ),
];
const calls = Object.fromEntries(
  callFiles.map(({ name, sql }) => [
    path.basename(name, '.sql').replace(/-(.)/g, (_, letter) => letter.toUpperCase()),
    sql
      .trim()
      .replace("'{called}'", `'{${called.join(',')}}'`)
      .replace(/^(?=(--.*\n)*SELECT\b)/, ON_PRIMARY),
  ]),
);

const text = `// Made by scripts/embed-sql.mjs from sql/**/*.sql: do not edit.

interface SqlFile {
  readonly name: string;
  readonly sql: string;
}

/** The steps from one version of the lock schema to the next, each a list of files. */
export const STEPS: readonly { readonly version: number; readonly files: readonly SqlFile[] }[] = ${JSON.stringify(
  versions.map((version) => ({ version, files: readFolder(`v${version}`) })),
  null,
  2,
)};

/** The functions: replaced as a whole whenever the schema is applied or upgraded. */
export const FUNCTIONS: readonly SqlFile[] = ${JSON.stringify(readFolder('functions'), null, 2)};

/** The statements that the program sends. */
export const CALLS = ${JSON.stringify(calls, null, 2)} as const;
`;

if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== text) {
    console.error(
      'src/generated/sql.ts is not what sql/ says: run `node scripts/embed-sql.mjs` and commit the result.',
    );
    process.exitCode = 1;
  }
} else {
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, text);
}
