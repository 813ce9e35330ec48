/** Migration tools of other stacks, from Debian's packages, in images without Node: npm run test:images. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { signalProcess } from '../support/processes.js';
import { assertNothingLeft } from '../support/run-cli.js';
import { RANDOM_UID, skipNote, startIn, untilSleeping, whySkipped, type Image } from './container.js';

const AT_ONCE = 10;

interface Tool {
  app: string;
  command: string[];
  /** Its own record of what it has done, and what that then says. */
  record: string;
  done: string[];
}

const ALEMBIC: Tool = {
  app: 'alembic',
  command: ['alembic', '-c', '/app/alembic.ini', 'upgrade', 'head'],
  record: 'SELECT version_num AS name FROM alembic_version',
  done: ['003'],
};
const DJANGO: Tool = {
  app: 'django',
  command: ['python3', '/app/manage.py', 'migrate'],
  record: 'SELECT name FROM django_migrations ORDER BY id',
  done: ['0001_accounts', '0002_interest', '0003_currency'],
};
const SQITCH: Tool = {
  app: 'sqitch',
  command: ['sqitch', '-C', '/app', 'deploy', 'db:pg:'],
  record: 'SELECT change AS name FROM sqitch.changes ORDER BY committed_at',
  done: ['accounts', 'interest', 'currency'],
};
const WHERE: ({ image: Image } & Tool)[] = [
  ...[ALEMBIC, DJANGO, SQITCH].map((tool) => ({ image: 'debian' as const, ...tool })),
  ...[ALEMBIC, DJANGO].map((tool) => ({ image: 'python' as const, ...tool })),
];

let db: TestDatabase;

beforeEach(async () => {
  db = await createDatabase();
});
afterEach(async () => {
  await assertNothingLeft();
  await db.drop();
});

(whySkipped === undefined ? describe : describe.skip)(`a tool of another stack${skipNote}`, () => {
  describe.each(WHERE)('$app in the image $image', ({ image, app, command, record, done }) => {
    const start = (beside: boolean) =>
      Array.from({ length: AT_ONCE }, () =>
        startIn(image, { user: RANDOM_UID, beside }, app, db, [
          ...['run', '--quiet', '--ttl', '15s', '--kill-grace', '2s', '--wait-timeout', '3m'],
          ...['--', ...command],
        ]),
      );

    /** Every migration has run once, and the tool knows it. Returns who ran them. */
    async function expectMigrated(): Promise<string[]> {
      const steps = await db.sql<{ step: string; by: string }[]>`SELECT step, by FROM steps ORDER BY step`;
      expect(steps.map(({ step }) => step)).toEqual(['001', '002', '003']);
      const accounts = await db.sql`SELECT DISTINCT balance, currency, count(*) OVER ()::int FROM accounts`;
      expect([...accounts]).toEqual([{ balance: 10, currency: 'EUR', count: 100 }]);
      const recorded = await db.sql.unsafe<{ name: string }[]>(record);
      expect(recorded.map(({ name }) => name)).toEqual(done);
      return steps.map(({ by }) => by);
    }

    test(`${AT_ONCE} at once: all exit 0, every migration ran once`, async () => {
      const ends = await Promise.all(start(false).map((run) => run.done));
      expect(ends.map(({ code, stderr }) => (code === 0 ? 0 : `${code}: ${stderr}`))).toEqual(
        Array.from({ length: AT_ONCE }, () => 0),
      );
      expect(new Set(await expectMigrated()).size).toBe(1);
    }, 240_000);

    test.each([
      ['migrate-lock alone', true],
      ['the whole container', false],
    ])(
      `${AT_ONCE} at once, kill -9 of %s in the middle: the others exit 0, and the data is right`,
      async (_, beside) => {
        const runs = start(beside);
        const name = await untilSleeping(db);
        const holder = runs.find((run) =>
          run.events().some(({ instanceId }) => name === `migrate-lock:${instanceId}`),
        );
        expect(holder).toBeDefined();
        signalProcess(holder?.hostPid() ?? NaN, 'SIGKILL');
        const ends = await Promise.all(runs.filter((run) => run !== holder).map((run) => run.done));
        expect(ends.map(({ code, stderr }) => (code === 0 ? 0 : `${code}: ${stderr}`))).toEqual(
          Array.from({ length: AT_ONCE - 1 }, () => 0),
        );
        expect((await holder?.done)?.code).not.toBe(0);
        const by = await expectMigrated();
        expect(by[1]).not.toBe(name);
      },
      240_000,
    );
  });
});
