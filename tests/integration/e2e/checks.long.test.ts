/** The checks of docs/check.md that run here: what they exit with before and after the migrations of real tools. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { ROOT } from '../../support/documents.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';
import { execute } from './installed-package.js';

/** No server listens here. */
const UNREACHABLE = 'postgres://postgres:none@127.0.0.1:1/none';
const CHECK = ['node', 'pending.mjs'];

interface Tool {
  name: string;
  migrate: string[];
  /** Its own commands, which are refused: they exit 0 when something is pending. */
  refused: string[];
  /** Makes the release before of the project. */
  removeNewest: (folder: string) => void;
  /** The code of the check where the database is newer: knex refuses that, and `knex migrate:latest` fails too. */
  inOlderRelease: number;
}

const TOOLS: Tool[] = [
  {
    name: 'knex',
    migrate: ['knex', 'migrate:latest'],
    refused: ['knex migrate:list', 'knex migrate:status', 'knex migrate:currentVersion'],
    removeNewest: (folder) => rmSync(join(folder, 'migrations', '20260119090000_backfill_totals.js')),
    inOlderRelease: 2,
  },
  {
    name: 'node-pg-migrate',
    migrate: ['node-pg-migrate', 'up'],
    refused: ['node-pg-migrate up --dry-run'],
    removeNewest: (folder) => rmSync(join(folder, 'migrations', '1768208400000_backfill-ledger.sql')),
    inOlderRelease: 0,
  },
  {
    name: 'drizzle',
    migrate: ['node', 'migrate.mjs'],
    // drizzle-kit, whose check reads no database, is not installed.
    refused: [],
    removeNewest: (folder) => {
      const journal = join(folder, 'drizzle', 'meta', '_journal.json');
      const { entries, ...rest } = JSON.parse(readFileSync(journal, 'utf8')) as { entries: unknown[] };
      writeFileSync(journal, JSON.stringify({ ...rest, entries: entries.slice(0, -1) }));
    },
    inOlderRelease: 0,
  },
];

let db: TestDatabase;
let folder: string;

beforeEach(async () => {
  db = await createDatabase();
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-check-'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
});

afterEach(async () => {
  rmSync(folder, { recursive: true });
  await db.drop();
  await assertNothingLeft();
});

describe.each(TOOLS)('the check for $name', ({ name, migrate, refused, removeNewest, inOlderRelease }) => {
  const copy = () => cpSync(join(ROOT, 'examples', name), folder, { recursive: true });
  beforeEach(copy);

  const codeOf = async (command: string[], url = db.url) =>
    (await execute(command, folder, environment(url))).code;

  test('exits 1 when migrations are pending, 0 when none is, 2 without a database', async () => {
    expect(await codeOf(CHECK)).toBe(1);
    expect(await codeOf(CHECK)).toBe(1);
    expect(await codeOf(migrate)).toBe(0);
    expect(await codeOf(CHECK)).toBe(0);
    expect(await codeOf(CHECK, UNREACHABLE)).toBe(2);
  });

  test('exits 1 when only the newest is pending; an older release does not', async () => {
    removeNewest(folder);
    expect(await codeOf(migrate)).toBe(0);
    expect(await codeOf(CHECK)).toBe(0);
    copy();
    expect(await codeOf(CHECK)).toBe(1);
    expect(await codeOf(migrate)).toBe(0);
    removeNewest(folder);
    expect(await codeOf(CHECK)).toBe(inOlderRelease);
  });

  test('its own commands exit 0 with everything pending', async () => {
    for (const command of refused) expect([command, await codeOf(command.split(' '))]).toEqual([command, 0]);
  });

  test('lets a run skip its command when nothing is pending, and only then', async () => {
    const run = () =>
      runCli(['run', '--check', CHECK.join(' '), '--', ...migrate], {
        cwd: folder,
        env: environment(db.url),
      });
    const names = ({ events }: Awaited<ReturnType<typeof run>>) => events.map(({ event }) => event);
    const first = await run();
    expect(first).toMatchObject({ code: 0 });
    expect(names(first)).toEqual(expect.arrayContaining(['lock.acquired', 'child.exited', 'lock.released']));
    const second = await run();
    expect(second).toMatchObject({ code: 0 });
    expect(names(second)).toContain('run.skipped');
    expect(names(second)).not.toContain('lock.acquired');
  });
});

function environment(url: string): Record<string, string> {
  const path = [join(ROOT, 'node_modules', '.bin'), process.env.PATH].join(delimiter);
  return { DATABASE_URL: url, PATH: path };
}
