import { throughPooler } from '../harness/through-pooler.js';

await throughPooler(() => import('../run/run.test.js'));
