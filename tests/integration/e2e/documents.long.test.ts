/**
 * Runs every command line of the documents by a real shell on a real database. Of the programs in them, only `npx` and
 * `prisma` are replaced. Comments above a block say how:
 *
 * <!-- not run: reason -->    it is not run
 * <!-- exit: 75 -->           it exits with this code
 * <!-- after: command -->     this command runs before
 * <!-- while: command -->     this command holds the lock at the same time
 *
 * `sh`: a script. `sql`: statements, inside a lease. `yaml`: its `command:` and `run:`. `json`: an event. `ts` is compiled by
 * package.long.test.ts, `dockerfile` is read by dockerfiles.test.ts, `console` is a screen that screens.long.test.ts makes; `text` is
 * neither commands nor code.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { MigrationLock } from '../../../src/index.js';
import { parseAuditLine } from '../../support/audit-line.js';
import { allBlocks, blocksOf, DOCUMENTS, proseOf, ROOT, type Block } from '../../support/documents.js';
import { startServer } from '../../support/embedded-server.mjs';
import {
  assertNothingLeft,
  CLI,
  startCli,
  type CliResult,
  type RunningCli,
  NODE,
} from '../../support/run-cli.js';
import { execute } from './installed-package.js';

const RUN = ['sh', 'sql', 'yaml', 'json'];
const NOT_COMMANDS = ['ts', 'dockerfile', 'console', 'text'];
const hasPsql = spawnSync('psql', ['--version']).error === undefined;

let server: Awaited<ReturnType<typeof startServer>>;
/** The working directory of a reader: a project with knex migrations, and the database `app`. */
let project: string;
let database: string;
let background: RunningCli | undefined;

beforeAll(async () => {
  server = await startServer();
  database = server.urlOf('app');
  await asAdministrator((sql) => sql`CREATE ROLE app LOGIN`.simple());
  await asAdministrator((sql) => sql`CREATE ROLE owner LOGIN PASSWORD 'owner'`.simple());
});

beforeEach(async () => {
  await asAdministrator((sql) => sql`CREATE DATABASE app`.simple());
  await asAdministrator((sql) => sql`GRANT CREATE ON DATABASE app TO owner`.simple());
  project = mkdtempSync(join(tmpdir(), 'migrate-lock-documents-'));
  cpSync(join(ROOT, 'examples', 'knex'), project, { recursive: true });
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(project, 'server.js'), '');
  mkdirSync(join(project, 'secrets'));
  writeFileSync(join(project, 'secrets', 'database_url'), database, { mode: 0o600 });
  symlinkSync(join(ROOT, 'node_modules'), join(project, 'node_modules'));
  mkdirSync(join(project, 'bin'));
  program('migrate-lock', `exec '${NODE}' '${CLI}' "$@"`);
  program('knex', 'exec node node_modules/knex/bin/cli.js "$@"');
  program('npx', 'exec "$@"');
  program('prisma', '[ "$*" = "migrate deploy" ]');
});

afterEach(async () => {
  background?.kill('SIGTERM');
  await background?.done;
  background = undefined;
  rmSync(project, { recursive: true });
  // PostgreSQL 12 has no DROP DATABASE ... WITH (FORCE).
  await asAdministrator(
    (sql) => sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app'`,
  );
  await asAdministrator((sql) => sql`DROP DATABASE app`.simple());
  await assertNothingLeft();
});

afterAll(() => server.stop());

describe.each(allBlocks(...RUN).map((block) => ({ name: `${block.place} (${block.language})`, ...block })))(
  '$name',
  (block) => {
    const reason = block.marks['not run'];
    const needsPsql = block.text.includes(' psql ') && !hasPsql;
    if (reason !== undefined) {
      test(`is not run: ${reason}`, () => expect(reason.length).toBeGreaterThan(10));
    } else {
      (needsPsql ? test.skip : test)('does what it says', () => check(block), 120_000);
    }
  },
);

test('every code block has a known language, and none is only indented', () => {
  const languages = DOCUMENTS.flatMap(blocksOf).map(({ place, language }) => `${place} ${language}`);
  const known = new RegExp(` (${[...RUN, ...NOT_COMMANDS].join('|')})$`);
  expect(languages.filter((language) => !known.test(language))).toEqual([]);
  expect(DOCUMENTS.flatMap((path) => proseOf(path).match(/^ {4,}\S.*$/gm) ?? [])).toEqual([]);
});

async function check(block: Block): Promise<void> {
  const { after, exit = '0' } = block.marks;
  if (after !== undefined) expectExit(await shell(after), 0);
  if (block.marks.while !== undefined) await startInBackground(block.marks.while);
  switch (block.language) {
    case 'sh':
      expectExit(await shell(block.text), Number(exit));
      break;
    case 'sql':
      await insideALease(block.text);
      break;
    case 'yaml': {
      const commands = [...block.text.matchAll(/^ *(command|run): (.*)$/gm)];
      expect(commands.length).toBeGreaterThan(0);
      for (const [, key, value = ''] of commands) {
        const words =
          key === 'run' ? ['sh', '-c', value] : (JSON.parse(value.replaceAll("'", '"')) as string[]);
        expectExit(await start(words.map((word) => word.replace('$(GIT_SHA)', '3f2a9c1'))), 0);
      }
      break;
    }
    case 'json':
      expect(parseAuditLine(block.text)).toHaveProperty('event');
  }
}

function expectExit({ code, stderr }: CliResult, expected: number): void {
  expect({ code, stderr: code === expected ? '' : stderr }).toEqual({ code: expected, stderr: '' });
}

const shell = (script: string) => start(['sh', '-e', '-c', script]);

function start(words: string[]) {
  return execute(words, project, {
    PATH: [join(project, 'bin'), process.env.PATH].join(delimiter),
    DATABASE_URL: database,
    OWNER_DATABASE_URL: asOwner(),
    GIT_SHA: '3f2a9c1',
  });
}

async function startInBackground(command: string): Promise<void> {
  const [, ...args] = command.split(' ');
  background = startCli(args, { env: { DATABASE_URL: database } });
  await background.waitForEvent('child.started');
}

async function insideALease(statements: string): Promise<void> {
  const sql = postgres(database, { max: 1, onnotice: () => undefined });
  const lock = new MigrationLock({ connection: database });
  try {
    const { instanceId, fencingToken } = await lock.wait();
    await sql`CREATE TABLE orders (id integer)`;
    await sql
      .unsafe(
        statements
          .replace('<MIGRATE_LOCK_INSTANCE_ID>', instanceId)
          .replace('<MIGRATE_LOCK_FENCING_TOKEN>', String(fencingToken)),
      )
      .simple();
    expect(await lock.release()).toBe(true);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function program(name: string, script: string): void {
  writeFileSync(join(project, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

function asOwner(): string {
  const url = new URL(database);
  url.username = url.password = 'owner';
  return url.href;
}

async function asAdministrator(work: (sql: postgres.Sql) => PromiseLike<unknown>): Promise<void> {
  const sql = postgres(server.url, { max: 1, onnotice: () => undefined });
  try {
    await work(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}
