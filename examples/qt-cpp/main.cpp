// The newest posts of a blog, and then each one that comes: newest SERVICE NODE

#include <QtCore>
#include <QtDBus>

#include "cache_interface.h"

using Records = QList<QVariantMap>;

static QTextStream out(stdout);

static void show(const Records &items)
{
    for (const QVariantMap &item : items) {
        const QJsonObject post = QJsonDocument::fromJson(item["data"].toString().toUtf8()).object();
        out << "- " << post["title"][0]["text"].toString() << Qt::endl;
    }
}

int main(int argc, char *argv[])
{
    QCoreApplication application(argc, argv);
    const QStringList arguments = application.arguments();
    if (arguments.size() != 3) {
        qCritical("newest SERVICE NODE");
        return 2;
    }
    const QString service = arguments[1], node = arguments[2];

    // The one type that QtDBus does not know by itself: aa{sv}.
    qDBusRegisterMetaType<Records>();
    ImPubsubcache1CacheInterface cache("im.pubsubcache1", "/im/pubsubcache1", QDBusConnection::sessionBus());

    const auto read = [&](const QVariantMap &options) {
        auto *watcher = new QDBusPendingCallWatcher(cache.GetItems(QString(), service, node, options), &cache);
        QObject::connect(watcher, &QDBusPendingCallWatcher::finished, &cache, [watcher] {
            watcher->deleteLater();
            const QDBusPendingReply<Records, QString, QVariantMap> reply = *watcher;
            if (reply.isError()) {
                qCritical("%s: %s", qPrintable(reply.error().name()), qPrintable(reply.error().message()));
                QCoreApplication::exit(1);
                return;
            }
            show(reply.argumentAt<0>());
            const QVariantMap info = reply.argumentAt<2>();
            out << "from the " << info["source"].toString() << ", " << info["freshness"].toString() << Qt::endl;
        });
    };

    // Signals say which items are new; what they hold is read, as a rule from the cache.
    QObject::connect(&cache, &ImPubsubcache1CacheInterface::ItemsChanged, &cache,
                     [&](const QString &, const QString &at, const QString &name, const QStringList &changed) {
                         if (at == service && name == node && !changed.isEmpty())
                             read({{"ids", changed}});
                     });
    read({{"limit", 5}});
    return application.exec();
}
