<?php

namespace App\Scenarios;

use Illuminate\Support\Facades\DB;

/**
 * Says what it finds of the process's state, and then changes it.
 */
class MeddlingTask extends Task
{
    private static $runs = 0;

    public function handle(): void
    {
        parent::handle();
        Notes::write('finds', $this->scenario, [
            'runs' => self::$runs++,
            'name' => config('app.name'),
            'locale' => app()->getLocale(),
            'disk' => config('filesystems.default'),
            'scoped' => isset(app('scoped')->mark),
            'transactions' => DB::transactionLevel(),
            'zone' => date_default_timezone_get(),
        ]);
        config(['app.name' => 'changed', 'filesystems.default' => 'changed']);
        app()->setLocale('mk');
        app('scoped')->mark = true;
        DB::beginTransaction();
        DB::rollBack();
    }
}
