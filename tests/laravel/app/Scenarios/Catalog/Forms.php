<?php

namespace App\Scenarios\Catalog;

use App\Models\Session;
use App\Scenarios\ForgettingTask;
use App\Scenarios\Forms\ByJournal;
use App\Scenarios\Forms\Happened;
use App\Scenarios\Forms\Letter;
use App\Scenarios\Forms\Stringy;
use App\Scenarios\Forms\Told;
use App\Scenarios\Notes;
use App\Scenarios\RememberingTask;
use App\Scenarios\Scenario;
use App\Scenarios\SecretTask;
use Illuminate\Support\Facades\Mail;
use Illuminate\Support\Facades\Notification;
use Illuminate\Support\Facades\Queue;
use RuntimeException;
use Throwable;

/**
 * All that can lie on a queue.
 */
class Forms extends Scenario
{
    public function encrypted(): void
    {
        dispatch(new SecretTask($this->name));
    }

    public function encryptedFails(): void
    {
        dispatch((new SecretTask($this->name, 'throw'))->with(['tries' => 2, 'backoff' => 60]));
    }

    public function model(): void
    {
        dispatch((new RememberingTask($this->name))->about($this->session()));
    }

    public function modelMissing(): void
    {
        $session = $this->session();
        dispatch((new RememberingTask($this->name))->about($session)->with(['tries' => 3]));
        $session->delete();
    }

    public function modelMissingDeletes(): void
    {
        $session = $this->session();
        dispatch((new ForgettingTask($this->name))->about($session));
        $session->delete();
    }

    public function closure(): void
    {
        $name = $this->name;
        dispatch(static function () use ($name): void {
            Notes::write('ran', $name);
        })->onQueue($name);
    }

    public function closureFails(): void
    {
        $name = $this->name;
        dispatch(static function () use ($name): void {
            throw new RuntimeException("$name throws");
        })->onQueue($name)->catch(static function (Throwable $reason) use ($name): void {
            Notes::write('closure caught', $name, Notes::reason($reason));
        });
    }

    public function listener(): void
    {
        event(new Happened('well'));
    }

    public function listenerFails(): void
    {
        event(new Happened('badly'));
    }

    public function notification(): void
    {
        Notification::route(ByJournal::class, 'someone')->notify(new Told($this->name));
    }

    public function notificationFails(): void
    {
        Notification::route(ByJournal::class, 'someone')->notify(new Told($this->name, true));
    }

    public function mailable(): void
    {
        Mail::to('someone@example.com')->queue((new Letter())->onQueue($this->name));
    }

    public function stringJob(): void
    {
        Queue::push(Stringy::class, ['a' => 1, 'text' => 'ж', 'list' => [1, 2]], $this->name);
    }

    public function stringForgets(): void
    {
        Queue::push(Stringy::class.'@forget', ['a' => 1], $this->name);
    }

    public function stringFails(): void
    {
        Queue::push(Stringy::class.'@break', ['scenario' => $this->name], $this->name);
    }

    public function delayed(): void
    {
        dispatch($this->task())->delay(600);
    }

    public function bulk(): void
    {
        Queue::bulk([$this->task(), $this->task('throw')], '', $this->name);
    }

    private function session(): Session
    {
        return Session::create(['id' => $this->name, 'payload' => 'text', 'last_activity' => 1]);
    }
}
