import { AFTER_CRASH } from './after-crash.js';
import { DOCTOR, ownedLock } from './doctor.js';
import { PRODUCTION } from './production.js';
import type { Stage } from './stage.js';
import { waitingLine } from './terminal.js';

/** Without the lease. */
const SESSIONS = 'migrate-lock status | tail -n +13';

/** How each screen of the documents is made, by the name in its mark. */
export const SCREENS: Partial<Record<string, (stage: Stage) => Promise<string>>> = {
  'first-run': async (stage) => {
    await stage.does('migrate-lock init');
    return stage.show('migrate-lock run -- knex migrate:latest > events.jsonl');
  },

  'status-free': async (stage) => {
    await stage.does('migrate-lock run -- knex migrate:latest');
    return stage.show('migrate-lock status');
  },

  'status-blocked': async (stage) => {
    await blocked(stage);
    return stage.show('migrate-lock status');
  },

  'status-hardened': async (stage) => {
    await ownedLock(stage, 'app');
    await blocked(stage, 'shop');
    return stage.show(SESSIONS);
  },

  'status-create-index': async (stage) => {
    await stage.does('migrate-lock run -- knex migrate:latest');
    stage.migration('index_quantity', 'CREATE INDEX CONCURRENTLY orders_quantity ON orders (quantity)', {
      transaction: false,
    });
    await stage.client('app', 'report', 'BEGIN; UPDATE orders SET quantity = quantity WHERE id = 1');
    stage.start('run', '--ttl', '10m', '--', 'knex', 'migrate:latest');
    await stage.untilWaiting(1);
    return stage.show(SESSIONS);
  },

  'waiting-line': waitingLine,

  event: async (stage) => {
    const shown = await stage.show('migrate-lock run -- true 2>/dev/null | grep lock.acquired');
    return shown.split('\n')[1] ?? '';
  },

  ...DOCTOR,
  ...AFTER_CRASH,
  ...PRODUCTION,

  'lease-expiring': async (stage) => {
    await prepared(stage);
    await stage.client('app', 'web', 'BEGIN; SELECT count(*) FROM orders');
    return stage.show('migrate-lock run -- knex migrate:latest > events.jsonl');
  },

  'wait-timeout': async (stage) => {
    await blocked(stage);
    return stage.show('migrate-lock run --wait-timeout 2s -- knex migrate:latest > events.jsonl');
  },
};

/** All migrations of the project are applied, and one more is there. */
async function prepared(stage: Stage): Promise<void> {
  await stage.does('migrate-lock run -- knex migrate:latest');
  stage.migration('add_state', "ALTER TABLE orders ADD COLUMN state text DEFAULT 'new'");
}

/** A migration waits for a table that a client has read in a transaction, and three clients wait behind it. */
async function blocked(stage: Stage, role = 'app'): Promise<void> {
  await prepared(stage);
  await stage.client('app', 'a test', 'GRANT SELECT ON orders TO shop');
  await stage.client(role, 'web', 'BEGIN; SELECT count(*) FROM orders');
  stage.start('run', '--ttl', '10m', '--', 'knex', 'migrate:latest');
  await stage.untilWaiting(1);
  stage.queue(role, 'web', 'SELECT count(*) FROM orders', 3);
  await stage.untilWaiting(4);
}
