import { throughPooler } from '../harness/through-pooler.js';

await throughPooler(() => import('../run/exit-codes.test.js'));
