import type { Stage } from './stage.js';

/** An application that a migration keeps waiting. */
export const PRODUCTION = {
  'queue-behind-alter': async (stage: Stage) => {
    await stage.does('migrate-lock run -- knex migrate:latest');
    stage.migration('add_note', 'ALTER TABLE orders ADD COLUMN note text');
    await reading(stage);
    stage.start('run', '--ttl', '10m', '--', 'knex', 'migrate:latest');
    await stage.untilWaiting(1);
    stage.queue('app', 'web', 'SELECT * FROM orders WHERE id = 1', 20);
    await stage.untilWaiting(21);
    return stage.show('migrate-lock status | tail -n +13');
  },

  'lock-timeout': async (stage: Stage) => {
    await stage.does('migrate-lock run -- knex migrate:latest');
    stage.migration('add_note', "SET LOCAL lock_timeout = '3s'; ALTER TABLE orders ADD COLUMN note text");
    await reading(stage);
    return stage.show('migrate-lock run -- knex migrate:latest > events.jsonl');
  },

  /** The report ends when the migration has been cut off once. */
  'max-block': async (stage: Stage) => {
    await stage.does('migrate-lock run -- knex migrate:latest');
    stage.migration('add_note', 'ALTER TABLE orders ADD COLUMN note text');
    await reading(stage);
    const shown = stage.show(
      'migrate-lock run --ttl 10m --max-block 3s --retries 5 -- knex migrate:latest > events.jsonl',
    );
    await stage.untilWaiting(1);
    stage.queue('app', 'web', 'SELECT * FROM orders WHERE id = 1', 20);
    await stage.untilWaiting(21);
    await stage.untilWaiting(0);
    await stage.terminate('report');
    return shown;
  },
};

/** A report reads the table for minutes. */
async function reading(stage: Stage): Promise<void> {
  stage.queue('app', 'report', 'SELECT count(pg_sleep(600)) FROM orders', 1);
  await stage.untilAsleep('report');
}
