import { throughPooler } from '../harness/through-pooler.js';

await throughPooler(() => import('../run/signals.test.js'));
