<?php

namespace App\Scenarios;

use Error;
use Illuminate\Queue\Jobs\DatabaseJob;
use Illuminate\Queue\Jobs\Job;
use Illuminate\Queue\Jobs\RedisJob;
use Illuminate\Support\Facades\Bus;
use Illuminate\Support\Facades\DB;
use LogicException;
use RuntimeException;

/**
 * The acts of a script.
 */
trait Acts
{
    private function act(string $script): void
    {
        foreach (explode(', ', $script) as $act) {
            [$verb, $value] = explode(' ', $act, 2) + [1 => ''];
            $this->{'act'.ucfirst($verb)}($value);
        }
    }

    private function actOk(): void
    {
    }

    private function actThrow(string $kind): void
    {
        $message = "{$this->scenario} throws";
        if ($kind === 'nested') {
            throw new RuntimeException($message, 7, new LogicException('the cause'));
        }
        throw $kind === 'error' ? new Error($message) : new RuntimeException($message);
    }

    private function actRelease(string $seconds): void
    {
        $this->release((int) $seconds);
    }

    private function actFail(string $how): void
    {
        $this->fail($how === 'with' ? new LogicException("{$this->scenario} fails") : null);
    }

    private function actDelete(): void
    {
        $this->delete();
    }

    private function actSleep(string $seconds): void
    {
        // A signal ends a sleep early.
        $end = microtime(true) + (float) $seconds;
        while (microtime(true) < $end) {
            usleep(20000);
        }
    }

    private function actExit(string $code): void
    {
        exit((int) $code);
    }

    /**
     * An error that PHP throws for nobody to catch.
     */
    private function actFatal(): void
    {
        eval('class Unfinished implements \Countable {}');
    }

    private function actKill(string $signal): void
    {
        posix_kill(getmypid(), (int) $signal);
    }

    private function actClass(): void
    {
        Notes::write('class', $this->scenario, [
            'base' => $this->job instanceof Job,
            'redis' => $this->job instanceof RedisJob,
            'database' => $this->job instanceof DatabaseJob,
        ]);
    }

    private function actPrint(string $text): void
    {
        echo str_repeat($text."\n", 3);
        fwrite(STDERR, $text."\n");
    }

    private function actDispatch(string $script): void
    {
        static::dispatch($this->scenario, ...explode('|', $script));
    }

    private function actElsewhere(string $queue): void
    {
        static::dispatch($this->scenario)->onQueue($queue);
    }

    private function actLater(string $seconds): void
    {
        static::dispatch($this->scenario)->delay((int) $seconds);
    }

    private function actInline(string $script): void
    {
        Bus::dispatchSync(new self($this->scenario, $script));
    }

    private function actNow(string $script): void
    {
        Bus::dispatchNow(new self($this->scenario, $script));
    }

    /**
     * One job for after the commit, another for after a commit that does not come.
     */
    private function actCommit(): void
    {
        DB::transaction(function (): void {
            static::dispatch($this->scenario, 'ok')->afterCommit();
            Notes::write('before commit', $this->scenario);
        });
        try {
            DB::transaction(function (): void {
                static::dispatch($this->scenario, 'throw')->afterCommit();
                throw new LogicException('rolled back');
            });
        } catch (LogicException $reason) {
            Notes::write($reason->getMessage(), $this->scenario);
        }
    }

    private function actCancel(): void
    {
        $this->batch()->cancel();
    }
}
