import { UNTIL_LET_GO } from './clock-command.mjs';
import { migrateLock } from './contenders.mjs';
import { Running } from './processes.mjs';

/**
 * Holds the lock until `end` is called.
 * @param {string} url
 */
export async function holdLock(url) {
  const holder = new Running(migrateLock(url, ['--ttl', '15m'])(UNTIL_LET_GO));
  await holder.line((line) => line === 'ready');
  return {
    end: async () => {
      holder.letGo();
      await holder.success();
    },
  };
}
