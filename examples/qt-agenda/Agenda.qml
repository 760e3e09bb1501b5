import QtQuick
import QtQuick.Controls.Basic
import QtQuick.Layouts

ApplicationWindow {
    id: window
    required property QtObject agenda

    visible: true
    width: 720
    height: 560
    title: "Agenda"
    color: "#fafafa"

    header: ToolBar {
        background: Rectangle { color: "#ffffff" }
        RowLayout {
            anchors { fill: parent; leftMargin: 12; rightMargin: 16 }
            ToolButton { flat: true; text: "‹"; font.pixelSize: 22; Accessible.name: "Earlier"; onClicked: window.agenda.turn(-1) }
            Label { text: window.agenda.month; font { pixelSize: 18; bold: true } Layout.minimumWidth: 170; horizontalAlignment: Text.AlignHCenter }
            ToolButton { flat: true; text: "›"; font.pixelSize: 22; Accessible.name: "Later"; onClicked: window.agenda.turn(1) }
            Item { Layout.fillWidth: true }
            Label { text: window.agenda.note; color: "#666666" }
        }
    }

    ListView {
        id: list
        anchors { fill: parent; leftMargin: 24; rightMargin: 24 }
        topMargin: 8
        bottomMargin: 24
        spacing: 8
        model: window.agenda.known ? window.agenda.events : null
        section.property: "day"
        section.delegate: Label {
            required property string section
            text: section
            topPadding: 16
            bottomPadding: 8
            color: "#00695c"
            font { pixelSize: 14; bold: true }
        }
        delegate: Rectangle {
            id: card
            required property string time
            required property string title
            required property string place
            required property string about
            width: list.width
            height: row.implicitHeight + 24
            radius: 8
            color: "#ffffff"
            border.color: "#e0e0e0"
            RowLayout {
                id: row
                anchors { left: parent.left; right: parent.right; top: parent.top; margins: 12 }
                spacing: 16
                Label { text: card.time; color: "#666666"; Layout.alignment: Qt.AlignTop; Layout.preferredWidth: 110 }
                ColumnLayout {
                    spacing: 4
                    Label { text: card.title; font { pixelSize: 15; bold: true } wrapMode: Text.Wrap; Layout.fillWidth: true }
                    Label { text: card.place; visible: text; color: "#666666"; Layout.fillWidth: true }
                    Label { text: card.about; visible: text; wrapMode: Text.Wrap; Layout.fillWidth: true }
                }
            }
        }
        Label {
            anchors.centerIn: parent
            text: window.agenda.known && list.count === 0 ? "Nothing this month" : ""
            color: "#888888"
        }
    }
}
