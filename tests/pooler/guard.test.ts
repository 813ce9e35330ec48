import { throughPooler } from '../harness/through-pooler.js';

await throughPooler(() => import('../run/guard.test.js'));
