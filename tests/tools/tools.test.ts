/**
 * Runs the tools of docs/tools.md that can be installed here, five at once, and with one of them killed in the middle.
 * knex, Drizzle, umzug and node-pg-migrate have tests/integration/e2e/tools.long.test.ts.
 */
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { assertNothingLeft, runCli, startCli } from '../support/run-cli.js';
import { waitFor } from '../support/wait-for.js';
import { execute } from '../integration/e2e/installed-package.js';
import { layOut, PACKAGES, TOOLS } from './layouts.js';

const AT_ONCE = 5;
const TIMES = ['--quiet', '--ttl', '2m', '--wait-timeout', '5m'];
let db: TestDatabase;
let folder: string;

beforeEach(async () => {
  db = await createDatabase();
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-tools-'));
  symlinkSync(PACKAGES, join(folder, 'node_modules'));
});

afterEach(async () => {
  rmSync(folder, { recursive: true });
  await db.drop();
  await assertNothingLeft();
});

describe.each(TOOLS)('$name', (tool) => {
  const { name, missing, command, check, recover } = tool;
  const title = (text: string) => (missing === null ? text : `${text} (skipped: ${missing})`);
  const ifThere = missing === null ? test : test.skip;
  const locked = ['run', ...TIMES, ...(recover === undefined ? [] : ['--recover', recover]), '--'];
  const words = ['sh', '-c', command];

  ifThere(
    title(`${AT_ONCE} at once: all exit 0, each migration ran once, in sessions with the name of the lease`),
    async () => {
      layOut(folder, tool);
      const results = await Promise.all(
        Array.from({ length: AT_ONCE }, () => runCli([...locked, ...words], options())),
      );
      const failed = results.filter(({ code }) => code !== 0).map(({ code, stderr }) => `${code}: ${stderr}`);
      expect(failed).toEqual([]);
      const acquired = results.flatMap(({ events }) =>
        events.filter(({ event }) => event === 'lock.acquired'),
      );
      const tokens = acquired.map(({ fencingToken }) => Number(fencingToken));
      expect(new Set(tokens).size).toBe(AT_ONCE);
      const first = acquired.find(({ fencingToken }) => fencingToken === Math.min(...tokens));
      await expectMigrated(`migrate-lock:${first?.instanceId}`);
    },
    360_000,
  );

  if (check !== undefined) {
    ifThere(
      title('its check: 0 only when nothing is pending'),
      async () => {
        layOut(folder, tool);
        const codeOf = async (line: string) =>
          (await execute(['sh', '-c', line], folder, { ...options().env, PGAPPNAME: name })).code;
        expect(await codeOf(check)).not.toBe(0);
        expect(await codeOf(command)).toBe(0);
        expect(await codeOf(check)).toBe(0);
      },
      180_000,
    );
  }

  ifThere(
    title('killed in the middle with migrate-lock: the next run does the rest, once'),
    async () => {
      layOut(folder, tool);
      const gate = await blockSecondMigration();
      const killed = startCli([...locked, ...words], options());
      await killed.waitForEvent('child.started');
      await waitFor('the second migration at the gate', gate.isReached, { limitMs: 60_000 });
      killed.kill('SIGKILL');
      await killed.done;
      await waitFor('the guard', async () => !(await gate.isReached()), { limitMs: 60_000 });
      await gate.open();
      expect(await runCli([...locked, ...words], options())).toMatchObject({ code: 0 });
      await expectMigrated(expect.stringMatching(/^migrate-lock:/));
    },
    360_000,
  );
});

const options = () => {
  const { username, password, host, pathname } = new URL(db.url);
  return {
    cwd: folder,
    env: {
      DATABASE_URL: db.url,
      JDBC_URL: `jdbc:postgresql://${host}${pathname}?user=${username}&password=${password}`,
      PATH: [join(PACKAGES, '.bin'), join(PACKAGES, 'liquibase', 'dist', 'liquibase'), process.env.PATH].join(
        delimiter,
      ),
    },
  };
};

async function expectMigrated(application: unknown): Promise<void> {
  const runs = await db.sql`SELECT migration, application_name FROM migration_runs ORDER BY migration DESC`;
  expect(runs.map((row) => ({ ...row }))).toEqual([
    { migration: 'create_shop', application_name: application },
    { migration: 'backfill_ledger', application_name: application },
  ]);
  expect(await db.sql`SELECT FROM ledger`).toHaveLength(20);
}

/** The second migration waits at its INSERT, in a trigger that the test's own event trigger has made, until `open`. */
async function blockSecondMigration() {
  await db.sql.unsafe(GATE);
  const [opening, closing] = [signal(), signal()];
  const holding = db.sql.begin(async (sql) => {
    await sql`LOCK TABLE gate.closed IN ACCESS EXCLUSIVE MODE`;
    closing.give();
    await opening.given;
  });
  await closing.given;
  return {
    isReached: async () => {
      const waiting = await db.sql`
        SELECT FROM pg_locks WHERE relation = 'gate.closed'::regclass AND NOT granted`;
      return waiting.length > 0;
    },
    open: async () => {
      opening.give();
      await holding;
      await db.sql`DROP EVENT TRIGGER gate`;
    },
  };
}

function signal(): { give: () => void; given: Promise<unknown> } {
  let give: () => void = () => undefined;
  const given = new Promise((resolve) => {
    give = () => resolve(null);
  });
  return { give, given };
}

const GATE = `
  CREATE SCHEMA gate;
  CREATE TABLE gate.closed ();
  CREATE FUNCTION gate.pass() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    LOCK TABLE gate.closed IN SHARE MODE;
    RETURN NULL;
  END $$;
  CREATE FUNCTION gate.guard() RETURNS event_trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('public.ledger')) THEN
      IF to_regclass('public.ledger') IS NOT NULL THEN
        CREATE TRIGGER gate BEFORE INSERT ON public.ledger EXECUTE FUNCTION gate.pass();
      END IF;
    END IF;
  END $$;
  CREATE EVENT TRIGGER gate ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION gate.guard()`;
