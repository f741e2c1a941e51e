<?php

namespace App\Console\Commands;

use App\Jobs\UnsteadyJob;
use Illuminate\Console\Command;
use Illuminate\Support\Facades\Bus;

/**
 * Dispatches chains of UnsteadyJobs.
 */
class PushLinksCommand extends Command
{
    protected $signature = 'push:links {journal}
        {--chains=1}
        {--links=3}
        {--sleep=0 : milliseconds}
        {--unsteady=0 : every so many-th link throws on its first attempt}
        {--die= : the number of a link that kills its process when it has dispatched the next}';

    protected $description = 'Dispatch chains of jobs';

    public function handle(): int
    {
        for ($chain = 0; $chain < (int) $this->option('chains'); $chain++) {
            Bus::chain($this->links("chain$chain"))->onQueue('default')->dispatch();
        }

        return 0;
    }

    private function links(string $chain): array
    {
        $unsteady = (int) $this->option('unsteady');
        $links = [];
        for ($n = 0; $n < (int) $this->option('links'); $n++) {
            $link = new UnsteadyJob($this->argument('journal'), $chain, $n, (int) $this->option('sleep'));
            $link->times = $unsteady > 0 && $n % $unsteady === $unsteady - 1 ? 1 : 0;
            if ($this->option('die') !== null && (int) $this->option('die') === $n) {
                $link->diesAt = 'chained';
            }
            $links[] = $link;
        }

        return $links;
    }
}
