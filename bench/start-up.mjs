import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emptyNode, etcdctlLock, flock, hasEtcd, hasFlock, migrateLock, withlock } from './contenders.mjs';
import { figure, ratio } from './findings.mjs';
import { time } from './processes.mjs';

const WARM_UP = 3;
const ROUNDS = 41;
const ON_SOCKETS = 'migrate-lock, on sockets';

/** What a run costs that need not wait: process start, lock, `true`, release, guard included. */
/** @type {import('./rows.mjs').Row} */
export const startUp = {
  name: 'start-up',
  async measure({ server, say }) {
    const url = await server.newDatabase();
    const folder = mkdtempSync(join(tmpdir(), 'migrate-lock-bench-'));
    /** @type {Record<string, import('./contenders.mjs').Contender>} */
    const contenders = { 'migrate-lock': migrateLock(url), withlock: withlock(url), node: emptyNode };
    if (hasFlock()) contenders['flock'] = flock(join(folder, 'lock'));
    else say('no flock here: left out');
    if (hasEtcd()) contenders['etcdctl'] = etcdctlLock;
    else say('no etcdctl with an etcd here: left out');
    contenders[ON_SOCKETS] = migrateLock(url);
    try {
      const times = await interleaved(contenders);
      /** @param {string} name */
      const series = (name) => ({ name, values: times.get(name) ?? [] });
      const ours = series('migrate-lock');
      const unit = 'ms';
      const what = 'start-up: lock, run `true`, release, guard included, against';
      return [
        ratio(`${what} \`withlock x -- true\``, ours, series('withlock'), { must: 0.85, aim: 0.72, unit }),
        ratio(`${what} \`node -e 0\``, ours, series('node'), { must: 1.5, aim: 1.3, unit }),
        figure(
          'start-up of `migrate-lock` where stdout and stderr are sockets (systemd)',
          series(ON_SOCKETS),
          { unit },
        ),
        ...['flock', 'etcdctl']
          .filter((name) => name in contenders)
          .map((name) => figure(`start-up of \`${name}\``, series(name), { unit })),
      ];
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

/**
 * Rounds of all contenders, each round beginning with another one: none always follows the same.
 * @param {Record<string, import('./contenders.mjs').Contender>} contenders
 */
async function interleaved(contenders) {
  const names = Object.keys(contenders);
  const times = new Map(names.map((name) => [name, /** @type {number[]} */ ([])]));
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(Math.abs(round) + turn) % names.length] ?? '';
      const program = /** @type {any} */ (contenders)[name](['true']);
      const tookMs = await time(program, { sockets: name === ON_SOCKETS });
      if (round >= 0) times.get(name)?.push(tookMs);
    }
  }
  return times;
}
